"""Tokens and proofs for fuzzing: good ones of real keys, and every way that one was once taken that should not."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from fuzz.target import AUDIENCE, CLIENT, ISSUER, ISSUER_KEYS, NOW, STRANGER, WEB
from hypothesis import strategies as st
from identity.issuer import encode
from identity.possession import Client
from jwt.algorithms import get_default_algorithms

UNSIGNED = encode(json.dumps({"alg": "none"}).encode())
PEOPLE = ("alice", "bob", "mallory")
GOOD_CLAIMS: Mapping[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(NOW) + 600, "iat": int(NOW) - 10}
claim_changes = st.fixed_dictionaries(
    {},
    optional={
        "groups": st.sampled_from((["staff"], [], ["staff", "x"], "staff", [["staff"]])),
        "tenant": st.sampled_from(("t1", "t2", 1, None, ["t1"])),
        "aud": st.sampled_from(("other", [AUDIENCE, "other"], [], None, 5, [None])),
        "iss": st.sampled_from(("https://evil.example", None, [ISSUER], ISSUER + "/")),
        "exp": st.sampled_from((int(NOW), NOW - 1, NOW + 0.5, 10**12, 10**30, "1", True, None, 1e308)),
        "nbf": st.sampled_from((int(NOW) + 20, int(NOW) + 3600, "x")),
        "iat": st.sampled_from((int(NOW) + 3600, -1, 2**70)),
        "sub": st.sampled_from(("", 5, None, WEB, "alice\n", "älice", "\ud800")),
        "cnf": st.sampled_from(({}, {"jkt": CLIENT.thumbprint}, {"jkt": "x"}, {"x5t#S256": "A" * 43}, "x", None)),
        "act": st.sampled_from(({"sub": "agent"}, {}, {"sub": "a", "act": {"act": {}}}, 7)),
        "amr": st.sampled_from((["otp"], "otp")),
        "sid": st.sampled_from(("s1", 5)),
    },
)
good_changes = st.fixed_dictionaries(
    {}, optional={"groups": st.just(["staff"]), "tenant": st.sampled_from(("t1", "t2")), "amr": st.just(["otp"])}
)
header_changes = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(("none", "HS256", "RS256", "ES384", "es256", "", None, ["ES256"])),
        "kid": st.sampled_from(("k2", "k3", "", None, 1, "../k1", "\x00")),
        "typ": st.sampled_from(("JWT", "at+jwt", "dpop+jwt", "logout+jwt", 1)),
        "crit": st.sampled_from(([], ["exp"], ["b64"])),
        "b64": st.booleans(),
        "jwk": st.just(Client(STRANGER).jwk),
        "jku": st.just("https://evil.example/jwks"),
        "x5c": st.just(["AAAA"]),
    },
)


@cache
def _signed(header: str, claims: str, stranger: bool) -> str:
    key = STRANGER if stranger else ISSUER_KEYS.keys["k1"]
    return _sign(Client(key), header.encode(), claims.encode("utf-8", "surrogatepass"))


def _sign(client: Client, header: bytes, claims: bytes) -> str:
    # `Client.sign` writes JSON itself; these may be none.
    signing_input = f"{encode(header)}.{encode(claims)}"
    signature = get_default_algorithms()["ES256"].sign(signing_input.encode("ascii"), client.key)
    return f"{signing_input}.{encode(signature)}"


def _json(members: Mapping[str, Any]) -> str:
    return json.dumps(members)


def token_of(sub: str, changes: Mapping[str, Any], header: Mapping[str, Any], *, stranger: bool = False) -> str:
    """A token of `sub`, signed by the issuer or by somebody else."""
    claims = {**GOOD_CLAIMS, "sub": sub, **changes}
    return _signed(_json({"alg": "ES256", "kid": "k1", **header}), _json(claims), stranger)


def twisted(text: str, twist: str) -> str:
    """A token as another reader might still take it."""
    head, _, rest = text.partition(".")
    payload, _, signature = rest.partition(".")
    return {
        "none": text,
        "padding": f"{head}.{payload}=.{signature}==",
        "blank": f"{head} .{payload}.{signature}",
        "line": f"{head}.{payload}.{signature}\n",
        "tail": text + ".e30",
        "bits": text[:-1] + chr(ord(text[-1]) + 1),
        "standard": text.replace("-", "+").replace("_", "/"),
        "unsigned": f"{UNSIGNED}.{payload}.",
    }[twist]


@cache
def _sign_again(more: bytes) -> str:
    claims = json.dumps({**GOOD_CLAIMS, "sub": "alice"}).encode()
    return _signed_raw(claims[:-1] + b"," + more + b"}")


@cache
def _signed_raw(claims: bytes) -> str:
    return _sign(Client(ISSUER_KEYS.keys["k1"]), b'{"alg":"ES256","kid":"k1"}', claims)


TWISTS = ("none", "padding", "blank", "line", "tail", "bits", "standard", "unsigned")
ODD_CLAIMS = (
    *(b'"sub":"bob","sub":"alice"', b'"x":' + b"[" * 3000 + b"]" * 3000, b'"x":"' + b"x" * 20_000 + b'"'),
    *(b'"x":' + b"9" * 5000, b'"x":NaN', b'"x":1e999', b'"\\u0073ub":"bob"', b'"x":"\\ud800"', b'"exp":1,"exp":9e9'),
    *(b'"x":' + b"[" * 12 + b"]" * 12, b"", b'"x":1,'),
)
ODD_PAYLOADS = (b"\xef\xbb\xbf{}", '{"sub":"alice"}'.encode("utf-16"), b"[]", b"", b"null", b"{}", b" {} ", b"\xff")
good_tokens = st.builds(token_of, st.sampled_from(PEOPLE), good_changes, st.just({}))
bad_tokens = st.one_of(
    st.builds(token_of, st.sampled_from(PEOPLE), claim_changes, header_changes, stranger=st.booleans()),
    st.builds(token_of, st.sampled_from(PEOPLE), claim_changes, st.just({})),
    st.builds(twisted, good_tokens, st.sampled_from(TWISTS)),
    st.sampled_from(ODD_CLAIMS).map(_sign_again),
    st.sampled_from(ODD_PAYLOADS).map(_signed_raw),
    st.sampled_from(("", ".", "..", "...", "a.b.c", "é.é.é", "e30.e30.", "x" * 17_000)),
)


proof_changes = st.fixed_dictionaries(
    {},
    optional={
        "htm": st.sampled_from(("GET", "get", "", 5)),
        "htu": st.sampled_from(("https://app.example/", "https://evil.example/", "x", None)),
        "iat": st.sampled_from((int(NOW) - 89, int(NOW) - 91, int(NOW) + 31, None, "x", 2**80)),
        "ath": st.sampled_from(("", "x")),
        "exp": st.sampled_from((0, int(NOW) + 5)),
    },
)
fresh = st.fixed_dictionaries({"jti": st.uuids().map(str)})
proof_headers = st.fixed_dictionaries(
    {},
    optional={
        "typ": st.sampled_from(("JWT", "dpop+jwt", None)),
        "alg": st.sampled_from(("none", "HS256", "ES256")),
        "jwk": st.sampled_from(({}, None, Client(STRANGER).jwk, {**CLIENT.jwk, "d": "x"}, {"kty": "oct", "k": "x"})),
        "crit": st.just(["x"]),
    },
)
bound_tokens = st.builds(token_of, st.sampled_from(PEOPLE), st.just({"cnf": {"jkt": CLIENT.thumbprint}}), st.just({}))


@st.composite
def proofs(draw: st.DrawFn, token: str, method: str, address: str) -> str:
    """A proof of possession beside a token, good or not quite."""
    if draw(st.integers(0, 7)) == 0:
        return draw(st.sampled_from(("x.y.z", "", token)))
    changes: dict[str, Any] = {"htm": method, "htu": address, **draw(fresh)}
    if draw(st.booleans()):
        changes.update(draw(proof_changes))
    header = draw(proof_headers) if draw(st.integers(0, 2)) == 0 else {}
    return CLIENT.proof(token.encode(errors="replace").decode(), now=NOW, header=header, **changes)
