"""Receiving tokens: who may send them, what comes of them, and what happens when the store or the keys are away."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup.deciding import key_set, new_key
from signals.receiving import ALICE, BEARER, PUSH, Keyring, Receiver, refused, with_receiver
from signals.transmitting import (
    KEY,
    NOW,
    RISC,
    SECRET,
    claims,
    event,
    iss_sub,
    keys_of,
    opaque,
    signed,
    transmitter,
)

from extauthz.errors import StateUnavailable
from extauthz.identity.compact import MAX_TOKEN_LENGTH
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Store
from extauthz.store.signals import Delivered, Delivery
from extauthz.store.sqlite import SqliteStore


@dataclass
class Failing(MemoryStore):
    """A store that is out of reach when it is told to be."""

    away: bool = field(default=False)

    def __post_init__(self) -> None:
        super().__init__()

    async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
        if self.away:
            raise StateUnavailable("store: away")
        return await super().deliver(delivery, now=now)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "state.db")


def test_what_is_received_is_done_and_known_here_before_that_is_said(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        answer = await receiver.pushed(event("risk-level-change", current_level="HIGH", principal="USER"))
        assert (answer.status_code, answer.content) == (202, b"")
        assert [one.level for one in receiver.feed.of_subject(ALICE, None, now=NOW)] == ["HIGH"]
        assert receiver.count("done") == 1

    with_receiver(store, work)


def test_a_token_that_comes_again_is_received_and_changes_nothing(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        disabled = signed(claims({RISC + "account-disabled": {}}, now=NOW))
        assert (await receiver.push(disabled)).status_code == 202
        receiver.now[0] += 1
        await receiver.pushed({RISC + "account-enabled": {}})
        assert await receiver.account() == "enabled"
        for _ in range(3):
            assert (await receiver.push(disabled)).status_code == 202
        assert await receiver.account() == "enabled"
        assert (receiver.count("done"), receiver.count("again")) == (2, 3)

    with_receiver(store, work)


def test_an_id_is_good_for_one_token_whoever_signs_the_second(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        said = claims({RISC + "account-disabled": {}}, now=NOW, jti="j")
        assert (await receiver.push(signed(said))).status_code == 202
        assert (await receiver.push(signed(said, typ="application/secevent+jwt"))).status_code == 202, "says the same"
        others: list[dict[str, Any]] = [
            {"events": {RISC + "account-enabled": {}}},
            {"sub_id": iss_sub("bob")},
            {"iat": NOW + 1},
        ]
        for changed in others:
            assert refused(await receiver.push(signed({**said, **changed})), "invalid_request")
        assert await receiver.account() == "disabled"
        assert (receiver.count("again"), receiver.count("refused")) == (1, 3)

    with_receiver(store, work)


def test_a_token_is_replayed_at_no_time(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        text = signed(claims({RISC + "account-disabled": {}}, now=NOW))
        await receiver.push(text)
        receiver.now[0] = NOW + 10
        await receiver.pushed({RISC + "account-enabled": {}})
        for days in (1, 6, 7, 8, 400):
            receiver.now[0] = NOW + days * 86_400
            # What is written sweeps what is forgotten.
            await receiver.pushed(event("session-revoked"), iss_sub("bob"))
            assert (await receiver.push(text)).status_code == (202 if days < 7 else 400)
            assert await receiver.account() in ("enabled", None)

    with_receiver(store, work)


def test_a_clock_that_steps_brings_no_older_news_back(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        await receiver.pushed({RISC + "account-disabled": {}})
        receiver.now[0] = NOW + 60
        await receiver.pushed({RISC + "account-enabled": {}})
        for step in (NOW - 3600, NOW + 5 * 86_400, NOW + 60):
            receiver.now[0] = step
            await receiver.push(signed(claims({RISC + "account-disabled": {}}, now=NOW)))
            assert await receiver.account() == "enabled"

    with_receiver(store, work)


def test_news_that_come_late_are_older_than_what_is_known(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        await receiver.pushed({RISC + "account-enabled": {"event_timestamp": NOW - 5}})
        await receiver.pushed({RISC + "account-disabled": {"event_timestamp": NOW - 50}})
        assert await receiver.account() == "enabled"

    with_receiver(store, work)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        SECRET,
        f"Bearer {SECRET} ",
        f"Bearer  {SECRET}",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET}x",
        f"Basic {SECRET}",
        "Bearer",
        "Bearer ",
        "Bearer \xe9",
    ],
)
def test_who_has_not_the_secret_is_not_read(store: Store, authorization: str | None) -> None:
    async def work(receiver: Receiver) -> None:
        headers = {"content-type": "text/plain"}
        if authorization is not None:
            headers["authorization"] = authorization
        body = "x" * (MAX_TOKEN_LENGTH + 1)
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await receiver.client.post(PUSH, content=body, headers=encoded)
        assert refused(answer, "authentication_failed")
        assert SECRET not in answer.text
        assert await receiver.account() is None

    with_receiver(store, work)


def test_two_authorizations_are_none(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        both = [("authorization", f"Bearer {SECRET}")] * 2 + [("content-type", "application/secevent+jwt")]
        answer = await receiver.client.post(PUSH, content=signed(claims(now=NOW)), headers=both)
        assert refused(answer, "authentication_failed")

    with_receiver(store, work)


def test_the_scheme_is_found_in_any_case_and_so_is_the_type(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        text = signed(claims(now=NOW))
        answer = await receiver.push(
            text, authorization=f"bEARER {SECRET}", **{"content-type": "Application/SecEvent+JWT; charset=utf-8"}
        )
        assert answer.status_code == 202

    with_receiver(store, work)


def test_what_http_has_words_for_is_said_in_them(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        text = signed(claims(now=NOW))
        assert (await receiver.push(text, **{"content-type": "application/jwt"})).status_code == 415
        assert (await receiver.push(text, **{"content-type": "application/json"})).status_code == 415
        assert (await receiver.push(text + "x" * MAX_TOKEN_LENGTH)).status_code == 413
        assert (await receiver.push(text, "/.extauthz/signals/other")).status_code == 404
        assert (await receiver.client.get(PUSH, headers=BEARER)).status_code == 405
        assert await receiver.account() is None

    with_receiver(store, work)


def test_a_body_without_an_end_is_not_read_to_it(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                assert sent < 100
                yield b"x" * 4096

        answer = await receiver.client.post(PUSH, content=endless(), headers=BEARER)
        assert answer.status_code == 413

    with_receiver(store, work)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_request"),
        ("\xff\xfe", "invalid_request"),
        (json.dumps(claims(now=NOW)), "invalid_request"),
        (signed(claims(now=NOW, iss="https://evil.example")), "invalid_issuer"),
        (signed(claims(now=NOW, aud="https://evil.example")), "invalid_audience"),
        (signed(claims(now=NOW), key=new_key("evil")), "invalid_key"),
        (signed(claims(now=NOW, sub_id=iss_sub("alice", "https://evil.example"))), "access_denied"),
        (signed(claims({RISC + "credential-compromise": {}}, now=NOW)), "invalid_request"),
    ],
)
def test_a_refusal_says_why_in_the_words_of_the_standard(store: Store, text: str, code: str) -> None:
    async def work(receiver: Receiver) -> None:
        answer = await receiver.push(text)
        assert refused(answer, code)
        assert receiver.count("refused") == 1
        assert await receiver.account() is None

    with_receiver(store, work)


def test_what_nobody_knows_and_what_names_nobody_is_accepted(store: Store) -> None:
    async def work(receiver: Receiver) -> None:
        assert (await receiver.pushed({"https://e.example/new": {"x": 1}})).status_code == 202
        assert (await receiver.pushed(event("session-revoked"), {"format": "email", "email": "a@b"})).status_code == 202
        assert (await receiver.pushed(event("session-revoked"), opaque("x"))).status_code == 202
        assert await receiver.store.revocations(None, now=NOW) == ()

    with_receiver(store, work)


def test_while_the_store_is_away_the_transmitter_is_told_to_come_again() -> None:
    store = Failing()

    async def work(receiver: Receiver) -> None:
        text = signed(claims(now=NOW))
        store.away = True
        answer = await receiver.push(text)
        assert (answer.status_code, answer.headers["retry-after"], answer.content) == (503, "5", b"")
        assert await receiver.account() is None
        store.away = False
        assert (await receiver.push(text)).status_code == 202
        assert await receiver.account() == "disabled"
        assert (receiver.count("failed"), receiver.count("done")) == (1, 1)

    with_receiver(store, work)


def test_a_mistake_of_ours_is_no_receipt_and_shows_nothing() -> None:
    class Broken(MemoryStore):
        async def deliver(self, delivery: Delivery, *, now: float) -> Delivered:
            raise RuntimeError(f"secret detail of {delivery.receipt} at {now}")

    async def work(receiver: Receiver) -> None:
        answer = await receiver.push(signed(claims(now=NOW)))
        assert (answer.status_code, answer.content) == (500, b"")

    with_receiver(Broken(), work)


def test_a_new_key_is_asked_for_and_an_absent_one_is_no_refusal(store: Store) -> None:
    new = new_key("s2")
    url = "https://ssf.example.com/keys"
    one = transmitter(jwks=url)
    known, both = keys_of(one), one.keys.read(key_set(KEY, new))

    async def work(receiver: Receiver) -> None:
        text = signed(claims(now=NOW), key=new)
        assert (await receiver.push(text)).status_code == 503
        keys.published = both
        assert (await receiver.push(text)).status_code == 202
        assert keys.asked == 2

    keys = Keyring(known)
    with_receiver(store, work, keys=keys, jwks=url)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["account-disabled", "account-enabled"]), st.integers(0, 20), st.booleans()),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(said=ACTIONS, order=st.randoms(use_true_random=False))
def test_however_often_and_in_whatever_order_tokens_come_the_newest_holds(
    said: list[tuple[str, int, bool]], order: Any
) -> None:
    async def work(receiver: Receiver) -> None:
        texts = []
        for name, at, twice in said:
            payload = {RISC + name: {"event_timestamp": NOW - at}}
            texts += [signed(claims(payload, now=NOW))] * (1 + twice)
        order.shuffle(texts)
        for text in texts:
            assert (await receiver.push(text)).status_code == 202
        newest = max(((-at, name == "account-disabled") for name, at, _ in said), default=None)
        expected = None if newest is None else "disabled" if newest[1] else "enabled"
        assert await receiver.account() == expected

    with_receiver(MemoryStore(), work)
