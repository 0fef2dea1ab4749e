"""The key ring: its file, its purposes, and rotation that loses nothing."""

import json
from typing import Any

import pytest
from stepup.proofs import NOW, ring

from extauthz.errors import ConfigurationError
from extauthz.stepup.keys import KeyRing, SealBroken, generate_key, parse_keys, rotate_keys

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
