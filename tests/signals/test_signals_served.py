"""Running servers to which a transmitter pushes: what it says is in force on all of them."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from checking import told
from lookup.deciding import key_set, new_key
from patience import comes
from publishing import Page, publishing
from redises import RedisProcess
from serving import Serve, Served, end, start
from signals.transmitting import (
    IDP,
    KEY,
    RISC,
    SECRET,
    claims,
    complex_subject,
    event,
    iss_sub,
    opaque,
    signed,
)


def push(served: Served, text: str, *, secret: str = SECRET, listener: str = "web") -> int:
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/secevent+jwt"}
    url = f"http://{served.said[listener]}/.extauthz/signals/idp"
    return httpx.post(url, content=text, headers=headers, timeout=30).status_code


def says(served: Served, events: dict[str, Any], sub_id: Any = None) -> bool:
    """Push a token as transmitters do: again while there is no answer, for a Redis on a busy machine may be late."""
    text = signed(claims(events, sub_id))
    return comes(lambda: push(served, text) == 202)


def reason(served: Served, token: str, path: str = "/users") -> str:
    return told(served.answer(path, {"authorization": f"Bearer {token}"}, timeout=30))["reason"]


def knows(served: Served, token: str, path: str = "/users") -> str:
    """The reason that a server gives that has heard from its store; on a busy machine that may take a while."""
    given: list[str] = []

    def heard() -> bool:
        given.append(reason(served, token, path))
        return given[-1] != "revocations-stale"

    assert comes(heard)
    return given[-1]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path / "redis").start() as running:
        yield running


def test_what_is_said_to_one_server_is_in_force_on_every_server_of_one_redis(serve: Serve, redis: RedisProcess) -> None:
    one, other = (serve(EXTAUTHZ_STORE=redis.url) for _ in range(2))
    now = int(time.time())
    alice, bob, carol = (IDP.token(sub=name, sid=f"s-{name}", iat=now - 60) for name in ("alice", "bob", "carol"))
    for served in (one, other):
        assert [knows(served, token) for token in (alice, bob, carol)] == ["allowed"] * 3
        assert knows(served, alice, "/calm") == "allowed"
    high = event("risk-level-change", current_level="HIGH", principal="USER")
    assert says(one, high)
    assert knows(one, alice, "/calm") == "too-risky", "the one that has received it knows it at once"
    assert comes(lambda: knows(other, alice, "/calm") == "too-risky")
    assert says(other, event("session-revoked"), complex_subject(user=iss_sub("bob"), session=opaque("s-bob")))
    assert comes(lambda: knows(one, bob) == "token-revoked")
    assert says(one, {RISC + "account-disabled": {}}, iss_sub("carol"))
    assert comes(lambda: knows(other, carol) == "subject-blocked")
    assert says(one, {RISC + "account-enabled": {"event_timestamp": now + 5}}, iss_sub("carol"))
    assert comes(lambda: knows(other, carol) == "token-revoked"), "what was issued before stays revoked"
    assert knows(other, IDP.token(sub="carol", iat=now + 20)) == "allowed"
    assert knows(other, alice) == "allowed"
    assert says(one, event("risk-level-change", current_level="LOW", principal="USER", event_timestamp=now + 5))
    assert comes(lambda: knows(other, alice, "/calm") == "allowed")


def test_a_token_that_was_pushed_to_one_server_is_known_to_the_other(serve: Serve, redis: RedisProcess) -> None:
    one, other = (serve(EXTAUTHZ_STORE=redis.url) for _ in range(2))
    said = claims({RISC + "account-disabled": {}}, jti="j")
    assert push(one, signed(said)) == push(other, signed(said)) == 202
    assert push(other, signed({**said, "events": {RISC + "account-enabled": {}}})) == 400
    assert one.metric('extauthz_signals_received_total{result="done",transmitter="idp"}') == 1
    assert other.metric('extauthz_signals_received_total{result="again",transmitter="idp"}') == 1
    assert other.metric('extauthz_signals_received_total{result="refused",transmitter="idp"}') == 1


def test_what_is_said_outlives_the_servers_and_their_reloads(serve: Serve, folder: Path) -> None:
    served = serve()
    token = IDP.token(sub="alice")
    assert says(served, event("risk-level-change", current_level="HIGH", principal="USER"))
    assert reason(served, token, "/calm") == "too-risky"
    (folder / "policies" / "more.yaml").write_text(
        "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: more}\n"
        'spec: {rules: [{name: a, paths: ["/more"], effect: allow}]}\n'
    )
    served.next_event("reloaded")
    assert reason(served, token, "/calm") == "too-risky"
    assert reason(serve(), token, "/calm") == "too-risky", "from the first call"


def test_a_server_that_is_cut_off_from_its_store_takes_nothing_and_denies_subjects(serve: Serve, folder: Path) -> None:
    served = serve()
    token, text = IDP.token(sub="alice"), signed(claims({RISC + "account-disabled": {}}))
    assert reason(served, token) == "allowed"
    (folder / "state").rename(folder / "away")
    served.next_event("revocations-stale")
    assert push(served, text) == 503
    assert reason(served, token) == reason(served, token, "/calm") == "revocations-stale"
    (folder / "away").rename(folder / "state")
    served.next_event("revocations-back")
    assert push(served, text) == 202
    assert reason(served, token) == "subject-blocked"


def test_keys_and_secrets_that_are_replaced_count_from_then_on(serve: Serve, folder: Path) -> None:
    served = serve()
    new = new_key("s2")
    assert push(served, signed(claims(), key=new)) == 400
    (folder / "ssf.json").write_text(key_set(new))
    assert comes(lambda: push(served, signed(claims(), key=new)) == 202)
    assert push(served, signed(claims(), key=KEY)) == 400
    (folder / "ssf.secret").write_text("another-secret-that-is-long-enough")
    assert comes(lambda: push(served, signed(claims(), key=new), secret="another-secret-that-is-long-enough") == 202)
    assert push(served, signed(claims(), key=new)) == 400
    (folder / "ssf.secret").write_text("short")
    assert "shorter than 16 characters" in served.next_event("inbound-refused")["error"]
    assert push(served, signed(claims(), key=new), secret="another-secret-that-is-long-enough") == 202


def settings_of(folder: Path) -> dict[str, Any]:
    """The `signals:` block of the configuration."""
    block: dict[str, Any] = json.loads(
        (folder / "extauthz.yaml").read_text().partition("signals: ")[2].partition("\n")[0]
    )
    return block


def test_keys_are_fetched_from_where_they_are_published_and_new_ones_asked_for(serve: Serve, folder: Path) -> None:
    new = new_key("s2")
    block = settings_of(folder)
    with publishing() as site:
        site.pages["/jwks.json"] = Page(body=key_set(KEY))
        block["transmitters"][0]["jwks"] = f"{site.url}/jwks.json"
        served = serve(EXTAUTHZ_SIGNALS=json.dumps(block))
        assert comes(lambda: push(served, signed(claims())) == 202)
        assert served.probe("/ready").json()["keys"]["signals/idp"]["known"] is True
        assert push(served, signed(claims(), key=new)) == 400
        site.pages["/jwks.json"] = Page(body=key_set(KEY, new))
        served.process.send_signal(signal.SIGHUP)
        assert comes(lambda: push(served, signed(claims(), key=new)) == 202)
        assert served.metric('extauthz_keys_last_fetch_successful{source="signals/idp"}') == 1


def test_either_transport_takes_tokens_with_a_secret_from_the_environment(folder: Path, transport: str) -> None:
    block = settings_of(folder)
    block["transmitters"][0]["secret"] = {"variable": "SSF_SECRET"}
    served = start(folder, transport, EXTAUTHZ_SIGNALS=json.dumps(block), SSF_SECRET="the-one-of-the-environment")
    try:
        text = signed(claims({RISC + "account-disabled": {}}))
        assert (push(served, text), push(served, text, secret="the-one-of-the-environment")) == (400, 202)
        assert reason(served, IDP.token(sub="alice")) == "subject-blocked"
    finally:
        end(served)


def test_it_listens_where_it_is_told_and_nowhere_else(serve: Serve, folder: Path) -> None:
    served = serve()
    assert push(served, signed(claims()), listener="admin") == 404
    admin = serve(EXTAUTHZ_SIGNALS=json.dumps(settings_of(folder) | {"listener": "admin"}))
    assert (push(admin, signed(claims()), listener="web"), push(admin, signed(claims()), listener="admin")) == (
        404,
        202,
    )
    none = serve(EXTAUTHZ_SIGNALS__TRANSMITTERS="[]")
    assert push(none, signed(claims())) == 404


def test_a_stranger_is_told_nothing(serve: Serve) -> None:
    served = serve()
    url = f"http://{served.said['web']}/.extauthz/signals"
    for path, status in (("/idp", 400), ("/other", 404), ("", 404), ("/idp/x", 404)):
        answer = httpx.post(url + path, content=b"x" * 100_000)
        assert answer.status_code == status
        assert "Traceback" not in answer.text
    assert served.probe("/ready").status_code == 200
