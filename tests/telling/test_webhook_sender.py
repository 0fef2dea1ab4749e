"""Letters to webhooks, at real servers: what they get, and that none of them holds up or leads astray who tells."""

import asyncio
import hmac
import json
import socket
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from publishing import Page, Site, publishing
from telling.hostile import endless, hangs, hostile
from telling.telling_parts import NOW, PAGES, SECRET, a_hook, an_approval, letters_of

from extauthz.approval.telling.attempts import Delivered, Failed, Outcome
from extauthz.approval.telling.config import WebhookSettings
from extauthz.approval.telling.message import approval_message
from extauthz.approval.telling.signing import signing_key
from extauthz.errors import ConfigurationError
from extauthz.lookup.telling.secrets import WebhookSecrets
from extauthz.lookup.telling.webhooks import Webhook
from extauthz.values.letters import Letter

HERE = ["127.0.0.1", "::1"]


@pytest.fixture
def site() -> Iterator[Site]:
    with publishing() as running:
        yield running


def sent_by(settings: WebhookSettings, *, url: str | None = None, base: Path = Path(), **headers: str) -> Webhook:
    secrets = WebhookSecrets(url=url or settings.url or "", keys=(signing_key(SECRET),), headers=headers)
    return Webhook(settings, secrets=lambda: secrets, base=base, wording=partial(approval_message, pages=PAGES))


def a_letter() -> Letter:
    return letters_of(an_approval(), webhooks=[a_hook()])[0]


def send(settings: WebhookSettings, **made: Any) -> Outcome:
    return asyncio.run(sent_by(settings, **made).send(a_letter(), now=NOW))


def here(url: str, **changed: Any) -> WebhookSettings:
    return a_hook(url=url, addresses=HERE, **changed)


def failure(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


def test_a_receiver_gets_a_signed_event_that_it_can_check(site: Site) -> None:
    site.pages["/in"] = Page(status=204)
    assert send(here(f"{site.url}/in", headers={"x-tenant": "shop"}), authorization="Bearer t0") == Delivered()
    (asked,) = site.asked
    assert asked.method == "POST"
    assert asked.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert (asked.headers["x-tenant"], asked.headers["authorization"]) == ("shop", "Bearer t0")
    signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    mac = hmac.digest(b64decode(SECRET.removeprefix("whsec_")), signed, "sha256")
    assert asked.headers["webhook-signature"] == "v1," + b64encode(mac).decode()
    assert asked.headers["webhook-timestamp"] == str(int(NOW))
    assert json.loads(asked.body)["id"] == asked.headers["webhook-id"] == a_letter().event


@pytest.mark.parametrize(("form", "key"), [("slack", "blocks"), ("teams", "attachments")])
def test_chats_get_their_own_json(site: Site, form: str, key: str) -> None:
    site.pages["/in"] = Page(body="ok")
    assert send(here(f"{site.url}/in", format=form)) == Delivered()
    (asked,) = site.asked
    assert asked.headers["content-type"] == "application/json; charset=utf-8"
    assert key in json.loads(asked.body)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(site: Site, status: int) -> None:
    with publishing() as elsewhere:
        site.pages["/in"] = Page(status=status, headers={"location": f"{elsewhere.url}/"})
        outcome = failure(send(here(f"{site.url}/in")))
        assert f"answered with {status}" in outcome.error
        assert not outcome.is_final
        assert (len(site.asked), elsewhere.asked) == (1, [])


def test_a_receiver_that_is_overloaded_says_for_how_long(site: Site) -> None:
    site.pages["/in"] = Page(status=429, headers={"retry-after": "90"})
    outcome = failure(send(here(f"{site.url}/in")))
    assert (outcome.wait, outcome.is_down, outcome.is_final) == (90, True, False)


def test_a_receiver_that_fails_is_down_and_one_that_is_gone_wants_no_more(site: Site) -> None:
    site.pages["/in"] = Page(status=500, body="x" * 100_000)
    assert failure(send(here(f"{site.url}/in"))).is_down
    site.pages["/in"] = Page(status=410)
    outcome = failure(send(here(f"{site.url}/in")))
    assert (outcome.is_gone, outcome.is_final, outcome.is_down) == (True, True, False)


def test_nobody_listens(site: Site) -> None:
    site.down()
    outcome = failure(send(here(f"{site.url}/in")))
    assert outcome.is_down
    assert "127.0.0.1" not in outcome.error


BAD = {
    "hangs": hangs,
    "endless-head": endless(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"x" * 4000 + b"\r\n"),
    "endless-line": endless(b"HTTP/1.1 200 ", b"x" * 65_536),
    "endless-interim": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "no-http": endless(b"220 mail.example.com ESMTP\r\n", b"421 go away\r\n"),
    "closes": lambda taken, _: taken.recv(65_536),
    "closes-at-once": lambda _, __: None,
}


@pytest.mark.parametrize("behaviour", BAD)
def test_no_receiver_holds_up_who_tells(behaviour: str) -> None:
    with hostile(BAD[behaviour]) as receiver:
        outcome = failure(send(here(f"http://127.0.0.1:{receiver.port}/in", timeout="1s")))
    assert outcome.is_down
    assert not outcome.is_final
    assert outcome.error.isprintable()


def test_a_body_without_an_end_is_not_read() -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with hostile(endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk)) as receiver:
        assert send(here(f"http://127.0.0.1:{receiver.port}/in", timeout="5s")) == Delivered()


def test_a_body_that_trickles_does_not_make_a_delivery_a_failure() -> None:
    beginning = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"

    def trickles(taken: socket.socket, over: threading.Event) -> None:
        taken.recv(65_536)
        taken.sendall(beginning)
        while not over.wait(0.05):
            taken.sendall(b"x")

    with hostile(trickles) as receiver:
        assert send(here(f"http://127.0.0.1:{receiver.port}/in", timeout="1s")) == Delivered()


def test_a_handshake_of_tls_that_hangs_is_an_attempt_that_failed(authority: trustme.CA) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(trust)

    def hangs_then(taken: socket.socket, over: threading.Event) -> None:
        with trust.wrap_socket(taken, server_side=True):
            over.wait(60)

    for behave in (hangs, hangs_then):
        with hostile(behave) as receiver:
            outcome = failure(send(here(f"https://localhost:{receiver.port}/in", timeout="1s")))
        assert outcome.is_down


def test_a_name_that_leads_inside_is_not_followed_there(site: Site) -> None:
    settings = a_hook(url="https://hooks.example.com/in")
    port = site.url.rpartition(":")[2]
    outcome = failure(send(settings, url=f"http://localhost:{port}/in"))
    assert "is not on the internet" in outcome.error
    assert outcome.is_down
    assert site.asked == []


class Names:
    """Answers look-ups of names as a name server would that its owner changes in between."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[object] = []

    async def getaddrinfo(self, host: object, port: int, **_: object) -> list[Any]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [(0, 0, 0, "", (address, port)) for address in addresses]


def send_by_names(settings: WebhookSettings, names: Names, url: str) -> Outcome:
    async def run() -> Outcome:
        # A name server of one's own can't be put under a process; this is where its answers arrive.
        asyncio.get_running_loop().getaddrinfo = names.getaddrinfo  # type: ignore[method-assign, assignment]  # names are looked up with no other arguments
        return await sent_by(settings, url=url).send(a_letter(), now=NOW)

    return asyncio.run(run())


DISGUISES = """
    127.0.0.1 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 169.254.169.254 10.0.0.1 fd00::1 0.0.0.0 :: fe80::1%lo
""".split()  # noqa: SIM905 - a table is read more easily


@pytest.mark.parametrize("address", DISGUISES)
def test_no_disguise_of_an_address_gets_a_connection(site: Site, address: str) -> None:
    port = site.url.rpartition(":")[2]
    outcome = send_by_names(a_hook(), Names([address]), f"http://hooks.example.com:{port}/in")
    assert "is not on the internet" in failure(outcome).error
    assert site.asked == []


def test_an_answer_that_changes_after_it_was_looked_at_leads_nowhere_else(site: Site) -> None:
    """DNS rebinding: the first answer may be reached, every later one is a trap."""
    port = site.url.rpartition(":")[2]
    site.pages["/in"] = Page(status=204)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    settings = a_hook(addresses=["127.0.0.1"])
    assert send_by_names(settings, names, f"http://hooks.example.com:{port}/in") == Delivered()
    assert names.asked == ["hooks.example.com"]
    (asked,) = site.asked
    assert asked.headers["host"] == f"hooks.example.com:{port}"
    trapped = send_by_names(settings, Names(["127.0.0.2"]), f"http://hooks.example.com:{port}/in")
    assert "127.0.0.2" in failure(trapped).error


def test_of_several_addresses_only_those_outside_count_and_the_next_one_follows_a_dead_one(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    site.pages["/in"] = Page(status=204)
    names = Names(["10.0.0.1", "127.0.0.9", "127.0.0.1"])
    settings = a_hook(addresses=["127.0.0.0/8"], timeout="6s")
    assert send_by_names(settings, names, f"http://hooks.example.com:{port}/in") == Delivered()


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example.com"])
def test_a_name_that_nobody_knows_is_out_of_reach(host: str) -> None:
    outcome = failure(send(a_hook(), url=f"https://{host}/in"))
    assert outcome.is_down
    assert not outcome.is_final


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def https(authority: trustme.CA) -> Iterator[Site]:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(trust)
    with publishing(trust) as running:
        running.pages["/in"] = Page(status=204)
        yield running


def test_a_receiver_shows_a_certificate_of_the_authority_that_is_named(
    https: Site, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert send(here(f"{https.url}/in", ca="ca.pem"), base=tmp_path) == Delivered()


def test_a_receiver_of_another_authority_or_name_gets_nothing(
    https: Site, authority: trustme.CA, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other_name = https.url.replace("localhost", "127.0.0.1")
    for settings in (
        here(f"{https.url}/in"),
        here(f"{https.url}/in", ca="other.pem"),
        here(f"{other_name}/in", ca="ca.pem"),
    ):
        assert failure(send(settings, base=tmp_path)).is_down
    assert https.asked == []


def test_a_file_of_authorities_that_is_none_ends_a_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigurationError, match="holds no certificates"):
        sent_by(a_hook(ca="ca.pem"), base=tmp_path)


def test_a_secret_that_can_not_be_read_later_is_a_failure_that_passes() -> None:
    known = [WebhookSecrets(url="https://hooks.example.com/in")]

    def read() -> WebhookSecrets:
        if not known:
            raise ConfigurationError("hook.secret: can't read the secret: no such file or directory")
        return known.pop()

    webhook = Webhook(a_hook(), secrets=read, base=Path(), wording=partial(approval_message, pages=PAGES))
    outcome = failure(asyncio.run(webhook.send(a_letter(), now=NOW)))
    assert (outcome.is_down, outcome.is_final) == (True, False)


def test_a_letter_that_another_version_has_written_is_given_up_and_kept() -> None:
    letter = Letter(
        id="l", sink="audit", to="", event="e", kind="opened", approval="a", at=NOW, content=b'{"event": 1}'
    )
    outcome = failure(asyncio.run(sent_by(a_hook()).send(letter, now=NOW)))
    assert outcome.is_final


def test_no_secret_is_told_by_a_failure(site: Site) -> None:
    site.down()
    settings = a_hook(url_from={"file": "url"}, addresses=HERE)
    url = f"{site.url}/services/T000/B000/XXXXSECRET"
    for headers in ({}, {"authorization": "Bearer SECRET\nSECRET"}):
        outcome = failure(send(settings, url=url, **headers))
        assert "SECRET" not in outcome.error
    assert "SECRET" not in repr(WebhookSecrets(url=url, headers={"a": "SECRET"}))
