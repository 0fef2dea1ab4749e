"""Security event tokens that are not what they should be, and those that are."""

import base64
import hmac
import json
from hashlib import sha256
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup.deciding import new_key
from signals.transmitting import (
    AUDIENCE,
    KEY,
    NOW,
    TRANSMITTER,
    claims,
    iss_sub,
    keys_of,
    raw,
    signed,
    transmitter,
)

from extauthz.errors import IssuerUnavailable
from extauthz.identity.compact import MAX_TOKEN_LENGTH
from extauthz.identity.lookups import NO_ANSWERS, Done, FetchKeys, Unreachable
from extauthz.identity.signals.config import TransmitterSettings
from extauthz.identity.signals.tokens import EventToken, TokenRefused, read_token

GOOD = transmitter()


def read(text: str, settings_: TransmitterSettings = GOOD, now: float = NOW) -> EventToken:
    outcome = read_token(text, settings_, keys_of(settings_), now=now, answers=NO_ANSWERS)
    assert isinstance(outcome, EventToken)
    return outcome


def code(text: str, settings_: TransmitterSettings = GOOD, now: float = NOW) -> str:
    with pytest.raises(TokenRefused) as refused:
        read(text, settings_, now)
    assert "\n" not in str(refused.value)
    return refused.value.code


def good(**changed: Any) -> dict[str, Any]:
    return claims(now=NOW, **changed)


def test_a_good_token_is_read_as_it_is() -> None:
    said = good(jti="t", toe=NOW - 5)
    token = read(signed(said))
    assert (token.id, token.issued_at, token.occurred_at) == ("t", NOW, NOW - 5)
    assert (token.subject, dict(token.events)) == (iss_sub(), said["events"])
    assert read(signed(said, typ="application/SecEvent+JWT")).digest == token.digest
    assert read(signed({**said, "txn": "x"})).digest != token.digest


def test_several_audiences_are_fine_if_one_is_ours() -> None:
    assert read(signed(good(jti="t", aud=["https://other.example", AUDIENCE]))).id == "t"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"iss": "https://evil.example"}, "invalid_issuer"),
        ({"iss": TRANSMITTER + "/"}, "invalid_issuer"),
        ({"iss": [TRANSMITTER]}, "invalid_issuer"),
        ({"iss": ...}, "invalid_issuer"),
        ({"aud": "https://other.example"}, "invalid_audience"),
        ({"aud": AUDIENCE + "/"}, "invalid_audience"),
        ({"aud": []}, "invalid_audience"),
        ({"aud": {"a": AUDIENCE}}, "invalid_audience"),
        ({"aud": [AUDIENCE, 1]}, "invalid_audience"),
        ({"aud": ...}, "invalid_audience"),
        ({"jti": ...}, "invalid_request"),
        ({"jti": ""}, "invalid_request"),
        ({"jti": 7}, "invalid_request"),
        ({"jti": "x" * 1025}, "invalid_request"),
        ({"iat": ...}, "invalid_request"),
        ({"iat": "now"}, "invalid_request"),
        ({"iat": True}, "invalid_request"),
        ({"iat": -1}, "invalid_request"),
        ({"iat": NOW + 31}, "invalid_request"),
        ({"iat": NOW - 7 * 86_400}, "invalid_request"),
        ({"iat": 0}, "invalid_request"),
        ({"toe": NOW + 31}, "invalid_request"),
        ({"nbf": NOW + 31}, "invalid_request"),
        ({"exp": NOW + 600}, "invalid_request"),
        ({"sub": "alice"}, "invalid_request"),
        ({"sub": None}, "invalid_request"),
        ({"events": ...}, "invalid_request"),
        ({"events": {"https://e.example": 1}}, "invalid_request"),
        ({"events": ["https://e.example"]}, "invalid_request"),
        ({"events": {f"https://e.example/{number}": {} for number in range(17)}}, "invalid_request"),
        ({"sub_id": "alice"}, "invalid_request"),
    ],
)
def test_what_a_token_must_say_is_looked_at(changed: dict[str, Any], expected: str) -> None:
    said = good()
    said = {name: value for name, value in {**said, **changed}.items() if value is not ...}
    assert code(signed(said)) == expected


def test_no_events_are_no_token() -> None:
    assert code(signed({**good(), "events": {}})) == "invalid_request"


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "logout+jwt", "secevent", "secevent+jwt ", "dpop+jwt", 7])
def test_a_token_of_another_type_is_none(typ: object) -> None:
    header = {"alg": "ES256", "kid": KEY.kid} | ({} if typ is None else {"typ": typ})
    assert code(raw(json.dumps(good()), header=header)) == "invalid_request"


def test_an_unsigned_token_is_refused() -> None:
    head, body, _ = signed(good()).split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "secevent+jwt"}).encode()).decode().rstrip("=")
    for text in (f"{none}.{body}.", f"{head}.{body}.", f"{head}.{body}"):
        assert code(text) == "invalid_request"
    for text in (f"{none}.{body}.AAAA", f"{head}.{body}.AAAA"):
        assert code(text) == "invalid_key"


def test_a_public_key_is_no_secret_of_hmac() -> None:
    header = {"alg": "HS256", "kid": KEY.kid, "typ": "secevent+jwt"}
    head, body, _ = raw(json.dumps(good()), header=header).split(".")
    public = json.dumps(KEY.jwk).encode()
    signature = hmac.digest(public, f"{head}.{body}".encode(), sha256)
    forged = f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}"
    assert code(forged) == "invalid_key"


def test_an_algorithm_that_is_not_configured_is_refused() -> None:
    other = transmitter(algorithms=["ES384"])
    with pytest.raises(TokenRefused) as refused:
        read_token(signed(good()), other, keys_of(GOOD), now=NOW, answers=NO_ANSWERS)
    assert refused.value.code == "invalid_key"


def test_another_key_with_the_same_name_proves_nothing() -> None:
    assert code(signed(good(), key=new_key(KEY.kid))) == "invalid_key"


def test_a_header_asks_for_nothing() -> None:
    for header in ({"crit": ["b64"], "b64": False}, {"b64": True}, {"kid": 7}):
        full = {"alg": "ES256", "kid": KEY.kid, "typ": "secevent+jwt", **header}
        assert code(raw(json.dumps(good()), header=full)) == "invalid_key"
    other = new_key("mine")
    carries_key = {"alg": "ES256", "typ": "secevent+jwt", "jwk": other.jwk}
    assert code(raw(json.dumps(good()), header=carries_key, key=other)) == "invalid_key"


def test_an_unknown_key_is_asked_for_once() -> None:
    fetched = transmitter(jwks="https://ssf.example.com/keys")
    text = signed(good(), key=new_key("s2"))
    question = read_token(text, fetched, keys_of(fetched), now=NOW, answers=NO_ANSWERS)
    assert question == FetchKeys(source="signals/idp")
    with pytest.raises(TokenRefused):
        read_token(text, fetched, keys_of(fetched), now=NOW, answers={question: Done()})
    with pytest.raises(IssuerUnavailable):
        read_token(text, fetched, None, now=NOW, answers={question: Unreachable(detail="away")})


@pytest.mark.parametrize(
    "payload",
    [
        '{"iss": "a", "iss": "b"}',
        '{"events": {"e": {}, "e": {}}}',
        '{"iat": NaN}',
        '{"iat": 1e999}',
        '{"iat": 123456789012345678901234}',
        "[1]",
        "{",
        '{"a": ' * 40 + "1" + "}" * 40,
        '{"jti": "\\ud800"}',
    ],
)
def test_what_two_readers_could_read_differently_is_no_token(payload: str) -> None:
    assert code(raw(payload)) == "invalid_request"


def test_a_huge_token_is_none() -> None:
    assert code(signed(good(txn="x" * MAX_TOKEN_LENGTH))) == "invalid_request"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda sent: sent.decode("ascii", "replace")))
def test_nothing_that_is_sent_ends_in_anything_but_a_refusal(text: str) -> None:
    assert code(text) == "invalid_request"


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_no_token_survives_a_changed_character(place: int, bit: int) -> None:
    text = signed(claims(now=NOW, jti="t"))
    index = place % len(text)
    changed = text[:index] + chr(ord(text[index]) ^ (1 << bit)) + text[index + 1 :]
    assert code(changed) in {"invalid_request", "invalid_key", "invalid_issuer"}


@given(late=st.integers(0, 7 * 86_400 - 1), early=st.integers(0, 30))
def test_a_token_is_taken_from_its_moment_until_it_is_too_old(late: int, early: int) -> None:
    text = signed(good())
    assert read(text, now=NOW + late) == read(text, now=NOW - early)
    assert code(text, now=NOW + 7 * 86_400 + late) == "invalid_request"
    assert code(text, now=NOW - 31 - early) == "invalid_request"
