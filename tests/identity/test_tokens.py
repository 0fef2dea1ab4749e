"""Tokens: the line "Tokens" of what has gone wrong elsewhere, one case each."""

import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer, encode, good_claims, public_jwk
from identity.verifying import PLACE, known, verifier, verify

from extauthz.errors import InvalidCredential


@pytest.mark.parametrize("kid", ["rsa", "pss", "ec", "ec384", "ed"])
def test_a_good_token_names_its_user(issuer: Issuer, kid: str) -> None:
    token = issuer.token(kid, groups=["dev", "ops"], tenant="t1")
    user = verify(issuer, token).user
    assert (user.sub, user.iss, user.aud, user.groups) == ("u1", ISSUER, (AUDIENCE,), ("dev", "ops"))
    assert user.claims["tenant"] == "t1"
    assert (user.verified_by, user.cookie, user.issued_at) == ("idp", False, int(NOW - 10))
    assert user.token_hash == sha256(token.rpartition(".")[0].encode()).hexdigest()


def test_every_claim_that_a_user_has_is_read(issuer: Issuer) -> None:
    token = issuer.token(
        aud=["a", AUDIENCE],
        amr=["pwd", "otp"],
        acr="urn:mfa",
        auth_time=NOW - 60,
        sid="s1",
        act={"sub": "agent", "act": {"sub": "tool"}},
        roles=["r"],
    )
    user = known(verifier(issuer, groups_claim="roles"), token).user
    assert (user.aud, user.amr, user.acr, user.sid) == (("a", AUDIENCE), ("pwd", "otp"), "urn:mfa", "s1")
    assert (user.auth_time, user.groups) == (int(NOW - 60), ("r",))
    assert user.actor == {"sub": "agent", "act": {"sub": "tool"}}


def test_what_a_token_does_not_say_is_absent(issuer: Issuer) -> None:
    user = verify(issuer, issuer.token(iat=None)).user
    assert (user.groups, user.amr, user.acr, user.auth_time) == ((), (), None, None)
    assert (user.issued_at, user.actor, user.sid) == (None, None, None)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_types_of_access_tokens(issuer: Issuer, typ: str | None) -> None:
    assert verify(issuer, issuer.token(header={"typ": typ})).user.sub == "u1"


# What no token may say. `None` leaves a member out.
BAD_CLAIMS: list[dict[str, Any]] = [
    {"exp": None},
    {"exp": NOW},
    {"exp": NOW - 1},
    {"exp": str(int(NOW + 600))},
    {"exp": True},
    {"exp": [NOW + 600]},
    {"exp": -1},
    {"exp": (NOW + 600) * 1000},  # milliseconds
    {"nbf": NOW + 31},
    {"nbf": "now"},
    {"iat": NOW + 31},
    {"iat": {}},
    {"auth_time": NOW + 31},
    {"auth_time": False},
    {"iss": None},
    {"iss": "https://evil.example"},
    {"iss": ISSUER + "/"},
    {"iss": ISSUER.upper()},
    {"iss": [ISSUER]},
    {"iss": {"a": 1}},
    {"aud": None},
    {"aud": ""},
    {"aud": []},
    {"aud": "shop2"},
    {"aud": "SHOP"},
    {"aud": ["a", "b"]},
    {"aud": [[AUDIENCE]]},
    {"aud": [AUDIENCE, 1]},
    {"aud": {AUDIENCE: 1}},
    {"sub": None},
    {"sub": ""},
    {"sub": 1},
    {"sub": ["u1"]},
    {"sub": "\ud800"},
    {"groups": "admins"},
    {"groups": [1]},
    {"groups": {"a": 1}},
    {"amr": "otp"},
    {"amr": [None]},
    {"acr": 1},
    {"acr": ""},
    {"sid": 1},
    {"sid": ""},
    {"act": "agent"},
    {"act": ["agent"]},
    {"cnf": {"jkt": "x"}},
    {"cnf": {}},
    {"cnf": "x"},
    {"cnf": {"x5t#S256": ""}},
    {"cnf": {"x5t#S256": 1}},
    {"cnf": {"x5t#S256": "x", "jkt": "y"}},
    {"big": 2**63},
    {"big": 10**40},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS, ids=lambda claims: json.dumps(claims)[:40])
def test_claims_that_are_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential):
        verify(issuer, issuer.token(**claims))


@pytest.mark.parametrize(
    "claim", ["exp", "nbf", "iat", "auth_time", "aud", "sub", "groups", "amr", "acr", "sid", "act", "cnf"]
)
def test_a_claim_that_is_null_is_not_absent(issuer: Issuer, claim: str) -> None:
    payload = json.dumps(good_claims() | {claim: None})
    with pytest.raises(InvalidCredential):
        verify(issuer, issuer.sign("ec", '{"alg":"ES256","kid":"ec"}', payload))


BAD_HEADERS: list[dict[str, Any]] = [
    {"alg": None},
    {"alg": "none"},
    {"alg": "None"},
    {"alg": ""},
    {"alg": 1},
    {"alg": ["ES256"]},
    {"alg": "es256"},
    {"alg": "HS256"},
    {"alg": "RS256"},  # another algorithm than the key's
    {"alg": "ES384"},
    {"alg": "ES256K"},
    {"kid": "unknown"},
    {"kid": ""},
    {"kid": None},  # which of several?
    {"kid": 1},
    {"kid": ["ec"]},
    {"kid": "stranger"},
    {"kid": "ec384"},
    {"kid": "rsa"},
    {"crit": ["exp"]},
    {"crit": []},
    {"crit": ["b64"], "b64": True},
    {"b64": False},
    {"b64": True},
    {"typ": "dpop+jwt"},
    {"typ": "logout+jwt"},
    {"typ": "JOSE"},
    {"typ": ""},
    {"typ": 1},
]


@pytest.mark.parametrize("header", BAD_HEADERS, ids=lambda header: json.dumps(header)[:40])
def test_headers_that_are_refused(issuer: Issuer, header: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential):
        verify(issuer, issuer.token(header=header))


def test_keys_in_the_header_are_never_used(issuer: Issuer) -> None:
    stranger = public_jwk(issuer.keys["stranger"], kid="ec")
    header = {"kid": "ec", "jwk": stranger, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/c"}
    with pytest.raises(InvalidCredential, match="the signature is wrong"):
        verify(issuer, issuer.token("stranger", header=header))


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
@pytest.mark.parametrize("encoding", ["pem", "der", "jwk"])
def test_a_public_key_is_no_hmac_secret(issuer: Issuer, algorithm: str, encoding: str) -> None:
    public = issuer.keys["rsa"].public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(public_jwk(issuer.keys["rsa"], kid="rsa")).encode(),
    }[encoding]
    header = encode(json.dumps({"alg": algorithm, "kid": "rsa"}).encode())
    signing_input = f"{header}.{encode(json.dumps(good_claims()).encode())}"
    forged = f"{signing_input}.{encode(hmac.digest(secret, signing_input.encode(), 'sha256'))}"
    with pytest.raises(InvalidCredential):
        verify(issuer, forged)


def test_a_token_without_signature_is_none(issuer: Issuer) -> None:
    header = encode(b'{"alg":"none"}')
    payload = encode(json.dumps(good_claims()).encode())
    for token in (f"{header}.{payload}.", f"{header}.{payload}", f"{header}.{payload}.AA"):
        with pytest.raises(InvalidCredential):
            verify(issuer, token)


def test_an_algorithm_that_is_not_configured_is_refused_though_the_key_fits(issuer: Issuer) -> None:
    only_es256 = verifier(issuer, algorithms=["ES256"])
    assert known(only_es256, issuer.token("ec")).user.sub == "u1"
    for kid in ("rsa", "ed", "ec384", "pss"):
        with pytest.raises(InvalidCredential, match="`alg` is not one of those"):
            only_es256.verify(issuer.token(kid), place=PLACE, now=NOW)


GOOD_HEADER = '{"alg":"ES256","kid":"ec"}'
CLAIMS = json.dumps(good_claims())


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ('{"alg":"ES256","kid":"ec","kid":"ec"}', CLAIMS),
        ('{"alg":"none","alg":"ES256","kid":"ec"}', CLAIMS),
        (GOOD_HEADER, CLAIMS[:-1] + ', "sub": "admin"}'),
        (GOOD_HEADER, CLAIMS[:-1] + ', "s\\u0075b": "admin"}'),
        (GOOD_HEADER, CLAIMS[:-1] + ', "act": {"sub": "a", "sub": "b"}}'),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": NaN}'),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": -Infinity}'),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": 1e999}'),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": ' + "9" * 5000 + "}"),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": ' + "[" * 5000 + "]" * 5000 + "}"),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": ' + "[" * 16 + "]" * 16 + "}"),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": ' + '{"a":' * 16 + "1" + "}" * 16 + "}"),
        (GOOD_HEADER, CLAIMS[:-1] + ', "x": "\\ud800"}'),
        (GOOD_HEADER, CLAIMS + " x"),
        (GOOD_HEADER, "\ufeff" + CLAIMS),
        (GOOD_HEADER, "[" + CLAIMS + "]"),
        (GOOD_HEADER, "null"),
        ("[]", CLAIMS),
        ('"ES256"', CLAIMS),
        ("{", CLAIMS),
    ],
)
def test_json_with_two_readings_is_refused_though_it_is_signed(issuer: Issuer, header: str, payload: str) -> None:
    assert verify(issuer, issuer.sign("ec", GOOD_HEADER, CLAIMS)).user.sub == "u1"
    with pytest.raises(InvalidCredential):
        verify(issuer, issuer.sign("ec", header, payload))


def test_bytes_that_are_not_utf8_are_refused(issuer: Issuer) -> None:
    header, _, signature = issuer.token().split(".")
    payload = encode(b'{"sub": "\xff"}')
    with pytest.raises(InvalidCredential, match="not UTF-8"):
        verify(issuer, f"{header}.{payload}.{signature}")


MANGLED: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "two parts": lambda token: token.rsplit(".", 1)[0],
    "four parts": lambda token: token + ".AAAA",
    "five parts, as an encrypted token": lambda token: token + ".AAAA.AAAA",
    "empty signature": lambda token: token.rsplit(".", 1)[0] + ".",
    "padding": lambda token: token + "=",
    "padding inside": lambda token: token.replace(".", "=.", 1),
    "standard alphabet": lambda token: token[:-4] + "+/+/",
    "blank before": lambda token: " " + token,
    "line end after": lambda token: token + "\n",
    "blank inside": lambda token: token.replace(".", ". ", 1),
    "quoted": lambda token: f'"{token}"',
    "not ASCII": lambda token: token.replace("e", "е"),  # noqa: RUF001  a Cyrillic letter is the case
    "surrogate": lambda token: token + "\udc80",
    "cut": lambda token: token[:-2],
    "impossible length": lambda token: token[:-1],
    "other signature": lambda token: token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"),
}


@pytest.mark.parametrize("mangle", MANGLED.values(), ids=MANGLED)
def test_texts_that_are_no_token_are_refused(issuer: Issuer, mangle: Callable[[str], str]) -> None:
    token = issuer.token()
    with pytest.raises(InvalidCredential):
        verify(issuer, mangle(token))


def test_a_token_has_one_spelling(issuer: Issuer) -> None:
    # 64 bytes of signature end in four bits that count for nothing; an other reader takes all 16 texts.
    token = issuer.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for last in alphabet:
        try:
            verify(issuer, token[:-1] + last)
        except InvalidCredential:
            continue
        accepted.append(last)
    assert accepted == [token[-1]]


def test_huge_tokens_are_refused_unread(issuer: Issuer) -> None:
    assert verify(issuer, issuer.token(pad="x" * 11_000)).user.sub == "u1"
    with pytest.raises(InvalidCredential, match="longer than 16384"):
        verify(issuer, issuer.token(pad="x" * 13_000))
    with pytest.raises(InvalidCredential, match="longer than 16384"):
        verify(issuer, "A" * 1_000_000)


def test_expiry_is_exact_and_only_clocks_that_run_ahead_have_leeway(issuer: Issuer) -> None:
    tokens = verifier(issuer, leeway="10s")
    token = issuer.token(exp=NOW + 5, nbf=NOW, iat=NOW, auth_time=NOW)
    for time, good in ((NOW - 10.5, False), (NOW - 10, True), (NOW + 4.9, True), (NOW + 5, False), (NOW + 9, False)):
        if good:
            assert known(tokens, token, now=time).user.sub == "u1"
        else:
            with pytest.raises(InvalidCredential):
                tokens.verify(token, place=PLACE, now=time)


@given(text=st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,5}", fullmatch=True))
def test_any_text_that_the_issuer_did_not_sign_is_refused(issuer: Issuer, text: str) -> None:
    with pytest.raises(InvalidCredential):
        verify(issuer, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "groups", "amr", "acr", "act", "sid", "cnf", "x"])


@given(claims=st.dictionaries(NAMES, JSON, max_size=4))
def test_any_signed_claims_are_a_user_of_this_issuer_or_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    payload = json.dumps(good_claims() | claims)
    try:
        user = verify(issuer, issuer.sign("ed", '{"alg":"EdDSA","kid":"ed"}', payload)).user
    except InvalidCredential:
        return
    assert user.iss == ISSUER
    assert user.sub
    assert set(user.aud) & {AUDIENCE, "other"}
    assert user.claims["exp"] > NOW
