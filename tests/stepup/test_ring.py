"""The key ring: its file, its purposes, and rotation that loses nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, SESSION, demand, ring

from extauthz.errors import ConfigurationError
from extauthz.stepup.keys import KeyRing, SealBroken, drop_keys, generate_key, idle_keys, parse_keys, rotate_keys
from extauthz.stepup.oidc import FlowSecrets
from extauthz.stepup.ticket import Action, Ticket, open_ticket, sign

PLACE = ('["iss","alice"]', "f1")
NONCE = b"n" * 12


def test_a_generated_file_can_be_read() -> None:
    keys = parse_keys(generate_key(b"a" * 32, created=int(NOW)))
    assert len(keys.keys) == 1
    assert keys.newest.created == int(NOW)


def test_purposes_have_keys_of_their_own() -> None:
    key = ring().newest
    assert len({key.ticket, key.binding, key.seal, key.oidc}) == 4


def test_no_secret_is_shown() -> None:
    keys = ring()
    for secret in (keys.newest.ticket, keys.newest.binding, keys.newest.seal, keys.newest.oidc):
        assert repr(secret)[2:-1] not in repr(keys)


def test_rotation_adds_a_newest_key_and_keeps_the_others() -> None:
    first = generate_key(b"a" * 32, created=1)
    second = rotate_keys(first, b"b" * 32, created=2)
    before, after = parse_keys(first), parse_keys(second)
    assert after.keys == (before.newest, after.newest)
    assert after.binding_keys == (before.newest.binding, after.newest.binding)


def test_rotation_keeps_sealed_secrets() -> None:
    sealed = ring("old").seal(b"secret", place=PLACE, nonce=NONCE)
    assert ring("old", "new").open(sealed, place=PLACE) == b"secret"
    newer = ring("old", "new").seal(b"secret", place=PLACE, nonce=NONCE)
    with pytest.raises(SealBroken):
        ring("old").open(newer, place=PLACE)


def test_a_sealed_secret_opens_nowhere_else() -> None:
    keys = ring()
    sealed = keys.seal(b"secret", place=PLACE, nonce=NONCE)
    assert b"secret".hex() not in sealed
    for place in ((PLACE[0], "f2"), ('["iss","bob"]', "f1"), (PLACE[0] + "f1",), ()):
        with pytest.raises(SealBroken):
            keys.open(sealed, place=place)


@pytest.mark.parametrize("change", [lambda s: s[:-4] + "AAAA", lambda s: s[:20], lambda s: "s2" + s[2:], lambda _: ""])
def test_a_sealed_secret_that_was_changed_does_not_open(change: Any) -> None:
    keys = ring()
    with pytest.raises(SealBroken):
        keys.open(change(keys.seal(b"secret", place=PLACE, nonce=NONCE)), place=PLACE)


GOOD = {"kid": "a", "created": "2026-11-21T10:00:00Z", "secret": "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"keys": []},
        {"keys": {}},
        {"keys": [GOOD], "more": 1},
        {"keys": ["a"]},
        {"keys": [{**GOOD, "extra": 1}]},
        {"keys": [{**GOOD, "kid": "a.b"}]},
        {"keys": [{**GOOD, "kid": ""}]},
        {"keys": [{**GOOD, "kid": 1}]},
        {"keys": [{**GOOD, "created": "yesterday"}]},
        {"keys": [{**GOOD, "created": "2026-11-21T10:00:00"}]},
        {"keys": [{**GOOD, "created": 1}]},
        {"keys": [{**GOOD, "makes_from": "soon"}]},
        {"keys": [{**GOOD, "makes_from": None}]},
        {"keys": [{**GOOD, "secret": "c2hvcnQ="}]},
        {"keys": [{**GOOD, "secret": "!!!!"}]},
        {"keys": [{**GOOD, "secret": 1}]},
        {"keys": [GOOD, GOOD]},
    ],
)
def test_what_is_no_key_file_is_refused_without_quoting_it(document: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_keys(json.dumps(document))
    assert GOOD["secret"] not in str(refused.value)
    assert "c2hvcnQ" not in str(refused.value)


def test_what_is_no_json_is_refused() -> None:
    for text in ("", "{", "secret"):
        with pytest.raises(ConfigurationError, match="not JSON"):
            parse_keys(text)


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        generate_key(b"short", created=1)


def test_an_empty_ring_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        KeyRing(())


def rotated(text: str, number: int, *, makes_from: int) -> str:
    return rotate_keys(text, bytes([number]) * 32, created=number, makes_from=makes_from)


def test_a_new_key_makes_from_its_moment_on_and_verifies_before() -> None:
    text = rotated(generate_key(b"a" * 32, created=1), 2, makes_from=300)
    old = parse_keys(text).keys[0].kid
    new = parse_keys(text).newest.kid
    assert parse_keys(text, now=299).newest.kid == old
    assert parse_keys(text, now=300).newest.kid == new
    for now in (0, 299, 300):
        held = parse_keys(text, now=now)
        assert {key.kid for key in held.keys} == {old, new}
        assert held.binding_keys[-1] == held.newest.binding
        assert held.find(new) is not None


def test_the_key_of_a_lone_file_makes_whatever_the_clock_says() -> None:
    assert parse_keys(generate_key(b"a" * 32, created=1000), now=0).newest.created == 1000


def test_an_urgent_rotation_overtakes_one_that_waits() -> None:
    text = rotated(rotated(generate_key(b"a" * 32, created=1), 2, makes_from=3600), 3, makes_from=3)
    assert [parse_keys(text, now=now).newest.created for now in (2, 3, 3599, 3600)] == [1, 3, 3, 2]


def made_by(keys: KeyRing) -> tuple[str, str]:
    """A ticket and a sealed secret."""
    ticket = Ticket(
        id="t" * 43,
        subject=ALICE,
        session=SESSION,
        nonce_hash="h" * 43,
        action=Action(method="GET", authority="app.example.com", path="/"),
        return_path="/",
        expires_at=NOW,
        demands=(demand(),),
        credentials=(),
    )
    return sign(ticket, keys), keys.seal(b"secret", place=PLACE, nonce=NONCE)


def is_read(keys: KeyRing, made: tuple[str, str]) -> bool:
    ticket, sealed = made
    FlowSecrets.of(ticket, keys)
    return open_ticket(ticket, keys).subject == ALICE and keys.open(sealed, place=PLACE) == b"secret"


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("rABAB")), max_size=30))
def test_replicas_that_read_the_file_in_time_read_whatever_any_of_them_has_made(steps: list[tuple[int, str]]) -> None:
    after, now = 10, 100
    text = generate_key(b"a" * 32, created=now)
    replicas = {name: parse_keys(text, now=now) for name in "AB"}
    read_at = dict.fromkeys("AB", now)
    made = [made_by(replicas["A"])]
    for number, (pause, step) in enumerate(steps):
        now += pause
        if step == "r":
            text = rotate_keys(text, bytes([number]) * 32, created=now, makes_from=now + after)
        for name in "AB":
            # Nobody has waited longer than a rotation does.
            if step == name or now - read_at[name] >= after - 3:
                replicas[name].turn(parse_keys(text, now=now))
                read_at[name] = now
                made.append(made_by(replicas[name]))
        assert all(is_read(replica, one) for replica in replicas.values() for one in made)


def test_only_keys_that_nothing_needs_are_idle() -> None:
    text = rotated(rotated(generate_key(b"a" * 32, created=1), 2, makes_from=100), 3, makes_from=200)
    first, second, third = parse_keys(text).keys
    sealed = parse_keys(text, now=150).seal(b"secret", place=PLACE, nonce=NONCE)
    held = parse_keys(text)
    assert idle_keys(held, [], since=99) == ()
    assert idle_keys(held, [], since=100) == (first,)
    assert idle_keys(held, [], since=1000) == (first, second)
    assert idle_keys(held, [sealed], since=1000) == (first,)
    left = parse_keys(drop_keys(text, {first.kid}))
    assert left.keys == (second, third)
    assert left.open(sealed, place=PLACE) == b"secret"


def test_the_last_key_is_never_dropped() -> None:
    text = generate_key(b"a" * 32, created=1)
    assert idle_keys(parse_keys(text), [], since=NOW) == ()
    with pytest.raises(ConfigurationError, match="empty"):
        drop_keys(text, {parse_keys(text).newest.kid})
