"""Whole servers whose receivers are no help: decisions go on, and whoever listens is told all the same."""

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import serving
import trustme
from events.test_events_served import EVENTS, PREFIX, Place, denials
from patience import GENEROUS, comes
from publishing import Page, Site, publishing
from serving import Served
from telling.hostile import endless, hangs, hostile

PATIENT = "1s"
"""How long a webhook may take."""
ASKED = 40
GIGABYTE = 1 << 30


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with publishing() as site:
        site.pages |= {"/siem": Page(status=204), "/chat": Page(status=204)}
        yield Place(tmp_path, site)


def a_gigabyte(taken: socket.socket, over: threading.Event) -> None:
    """Takes what it is sent, and says so with a body that nobody has asked for."""
    taken.recv(65_536)
    taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIGABYTE)
    said, piece = 0, b"x" * (1 << 20)
    while said < GIGABYTE and not over.is_set():
        taken.sendall(piece)
        said += len(piece)


def trickles(taken: socket.socket, over: threading.Event) -> None:
    """Says its headers byte by byte, for ever."""
    taken.recv(65_536)
    taken.sendall(b"HTTP/1.1 200 OK\r\nx-more: ")
    while not over.wait(0.05):
        taken.sendall(b"x")


def asks_for_ages(taken: socket.socket, _: threading.Event) -> None:
    """Is overloaded until a year that no clock has."""
    taken.recv(65_536)
    taken.sendall(
        b"HTTP/1.1 503 No\r\nretry-after: Fri, 15 Jan 99999999999999999999 08:02:00 GMT\r\ncontent-length: 0\r\n\r\n"
    )


def sends_many_trailers(taken: socket.socket, over: threading.Event) -> None:
    """Ends its body, but not what comes after it."""
    endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x-more: x\r\n")(taken, over)


TAKES: dict[str, Callable[[socket.socket, threading.Event], None]] = {
    "a-gigabyte": a_gigabyte,
    "trailers": sends_many_trailers,
}
"""They have said that they took it: what else they say changes nothing."""
FAILS: dict[str, Callable[[socket.socket, threading.Event], None]] = {
    "hangs": hangs,
    "trickles": trickles,
    "endless-head": endless(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"x" * 4000 + b"\r\n"),
    "asks-for-ages": asks_for_ages,
}


def webhook(name: str, url: str, **more: str) -> str:
    """A line of the configuration."""
    said = "".join(f", {key}: {value}" for key, value in more.items())
    return (
        f'    - {{name: {name}, url: "{url}", secrets: [{{file: hook.secret}}], addresses: [127.0.0.1], '
        f"timeout: {PATIENT}{said}}}\n"
    )


def megabytes(served: Served) -> float:
    """What the process has in memory."""
    pages = int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_receivers_that_are_no_help_hold_up_nobody(place: Place) -> None:
    """They hang, redirect, say too much, or are somebody else; of each the letters wait for themselves alone."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place.folder / "ca.pem"))
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("siem.example.com").configure_cert(trust)
    with ExitStack() as stack:
        told_elsewhere = stack.enter_context(publishing())
        somebody_else: Site = stack.enter_context(publishing(trust))
        place.site.pages["/moved"] = Page(status=307, headers={"location": f"{told_elsewhere.url}/siem"})
        ports = {name: stack.enter_context(hostile(behave)).port for name, behave in (FAILS | TAKES).items()}
        lines = [webhook(name, f"http://127.0.0.1:{port}/in") for name, port in ports.items()]
        lines.append(webhook("moved", f"{place.site.url}/moved"))
        lines.append(webhook("somebody-else", f"{somebody_else.url}/in", ca="ca.pem"))
        config = place.folder / "extauthz.yaml"
        events = EVENTS.replace("SITE", place.site.url)
        config.write_text(config.read_text().replace(events, events + "".join(lines)))
        served = serving.start(place.folder)
        stack.callback(serving.end, served)
        before, slowest = megabytes(served), 0.0
        for number in range(ASKED):
            began = time.monotonic()
            assert place.asks(served, f"/pay/frozen?{number}") == "account-frozen"
            slowest = max(slowest, time.monotonic() - began)
        assert comes(lambda: place.kinds()["decision.deny"] == 10), "and the rest by a count"
        for name in TAKES:
            delivered = f'extauthz_deliveries_total{{result="delivered",sink="{name}"}}'
            assert comes(lambda wanted=delivered: served.metric(wanted) >= 10), name  # type: ignore[misc] # it is bound
        for name in (*FAILS, "moved", "somebody-else"):
            failed = f'extauthz_deliveries_total{{result="failed",sink="{name}"}}'
            assert comes(lambda wanted=failed: served.metric(wanted) >= 1), name  # type: ignore[misc] # it is bound
            assert served.metric(f'extauthz_deliveries_total{{result="delivered",sink="{name}"}}') == 0
        assert told_elsewhere.asked == []
        assert somebody_else.asked == []
        assert slowest < 5, "no decision has waited for any of them"
        assert megabytes(served) - before < 100
        served.process.terminate()
        assert served.process.wait(GENEROUS) == 0
        assert served.process.stderr is not None
        said = [json.loads(line) for line in served.process.stderr]
        assert {line["sink"] for line in said if line["event"] == "delivery-failed"} >= {*FAILS, "moved"}
        assert [line for line in said if line["level"] == "error"] == [], "none of it is a mistake of ours"


def test_a_rule_is_counted_anew_after_a_restart_and_nothing_is_left_out(place: Place) -> None:
    """What was counted is told at the end, and the next server begins with as many letters as the first one had."""
    config = place.folder / "extauthz.yaml"
    config.write_text(
        config.read_text().replace("rules: [pay/frozen]", "rules: [pay/frozen]\n      rate: {per_rule: 2/h}")
    )
    for turn in range(1, 4):
        served = serving.start(place.folder)
        try:
            for _ in range(5):
                assert place.asks(served, "/pay/frozen") == "account-frozen"
            # A letter on its way would be told again only after a while.
            delivered = 'extauthz_deliveries_total{result="delivered",sink="chat"}'
            assert comes(lambda: place.kinds("/chat")["decision.deny"] == 2 * turn)  # noqa: B023 - called in this turn
            assert comes(lambda: served.metric(delivered) >= 2)  # noqa: B023 - as above
            served.process.terminate()
            assert served.process.wait(GENEROUS) == 0
        finally:
            serving.end(served)
    served = serving.start(place.folder)
    try:
        assert comes(lambda: denials(place.told("/chat")) == 15), place.kinds("/chat")
        assert place.kinds("/chat") == {"decision.deny": 6, "events.folded": 3}
    finally:
        serving.end(served)
    counts = [event["data"] for event in place.told("/chat") if event["type"] == f"{PREFIX}events.folded"]
    assert [one["count"] for one in counts] == [3, 3, 3]
    assert all(one["from"] <= one["until"] for one in counts)
    assert len({event["id"] for event in place.told("/chat")}) == 9, "no two servers give one id"


def test_a_count_is_told_when_its_time_is_over_without_another_event(place: Place) -> None:
    config = place.folder / "extauthz.yaml"
    config.write_text(
        config.read_text().replace("rules: [pay/frozen]", "rules: [pay/frozen]\n      rate: {per_rule: 1/s}")
    )
    served = serving.start(place.folder)
    try:
        for _ in range(3):
            assert place.asks(served, "/pay/frozen") == "account-frozen"
        assert comes(lambda: denials(place.told("/chat")) == 3), place.kinds("/chat")
    finally:
        serving.end(served)
