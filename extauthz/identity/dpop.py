"""Proofs that the sender of a token holds the key that it is bound to: DPoP (RFC 9449).

The rule: a proof is good for one request to one address, for one token, for a minute, and once. What can't be known
here, whether it was used before, is asked (`UseProof`).
"""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv6Address
from typing import Any, Final

import msgspec

from extauthz.errors import ConfigurationError, InvalidCredential, MalformedRequest
from extauthz.identity.compact import CompactToken, Unreadable, take_apart
from extauthz.identity.keys import Algorithm, VerificationKey, read_keys
from extauthz.identity.signed import key_and_algorithm
from extauthz.values.request import HttpRequest

HEADER: Final = "dpop"
PROOF_SECONDS: Final = 60.0
"""How old a proof may be."""
LEEWAY: Final = 30.0
"""How far the clock of a client may run ahead of ours, or behind."""

ALGORITHMS: Final[tuple[Algorithm, ...]] = (
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "PS256",
    "PS384",
    "PS512",
    "RS256",
    "RS384",
    "RS512",
)
_TYPES: Final = frozenset({"dpop+jwt"})
# RFC 7638 section 3.2 and RFC 8037 section 2: what makes a key, and what its thumbprint is over.
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}
# RFC 7518 section 6: the members that only a private or a symmetric key has.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# The key is the client's: 4,096 bits of modulus and a short exponent, or one signature costs seconds.
_LONGEST: Final[Mapping[str, int]] = {"n": 683, "e": 8}

_HTU = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(/[!-~]*)?", re.IGNORECASE)
_PORT = re.compile(r":([0-9]{1,5})\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A proof that holds, if it was not used before.

    `key` is the thumbprint of the key (RFC 7638), `id` what tells this proof from every other, `expires_at` in seconds
    since the epoch when it is too old.
    """

    key: str
    id: str
    expires_at: float


def read_proof(http: HttpRequest, token: str, *, now: float) -> Proof:
    """The proof that came with the access token `token`, checked as RFC 9449 section 4.3 says, in its order.

    `now` is in seconds since the epoch. Raises `MalformedRequest` for two proofs and `InvalidCredential` for none and
    for one that does not hold.
    """
    # 1. One header.
    values = http.headers.get(HEADER)
    if values is None:
        raise InvalidCredential("dpop: there is no proof beside the token")
    if len(values) != 1:
        raise MalformedRequest(f"dpop: sent {len(values)} times")
    # 2. One JWT.
    try:
        parts = take_apart(values[0])
    except Unreadable as error:
        raise InvalidCredential(f"dpop: {error}") from None
    # 3. to 7. Its type, its algorithm and its key, which is a public one and has signed it.
    thumbprint = _signer(parts)
    claims = parts.claims
    # 8. The method, to the letter.
    if _text(claims, "htm") != http.method:
        raise InvalidCredential("dpop: `htm` is not the method of this request")
    # 9. The address, without query and fragment.
    if _address(_text(claims, "htu")) != _address_of(http):
        raise InvalidCredential("dpop: `htu` is not the address of this request")
    # 10. A nonce is never asked for. 11. Its age.
    expires_at = _expiry(claims, now)
    # 12. The token; whether that is bound to the key is for whoever has read it.
    if _text(claims, "ath") != _base64url(sha256(token.encode("utf-8", "surrogatepass")).digest()):
        raise InvalidCredential("dpop: `ath` is not the token beside it")
    return Proof(key=thumbprint, id=_id(thumbprint, _text(claims, "jti")), expires_at=expires_at)


def _signer(parts: CompactToken) -> str:
    """The thumbprint of the key that has signed the proof."""
    if "typ" not in parts.header:
        raise InvalidCredential("dpop: no `typ`")
    _, algorithm = key_and_algorithm(parts, algorithms=ALGORITHMS, types=_TYPES)
    jwk = _public_members(parts.header.get("jwk"))
    key = _key(jwk, algorithm)
    if key is None:
        raise InvalidCredential("dpop: `jwk` is no public key for `alg`")
    if not key.verifies(parts.signature, parts.signing_input):
        raise InvalidCredential("dpop: the signature is wrong")
    return _base64url(sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode("utf-8")).digest())


def _public_members(jwk: object) -> dict[str, str]:
    if not isinstance(jwk, dict):
        raise InvalidCredential("dpop: no `jwk`")
    if not _PRIVATE.isdisjoint(jwk):
        raise InvalidCredential("dpop: `jwk` holds a secret")
    kind = jwk.get("kty")
    members: dict[str, str] = {}
    for name in _MEMBERS.get(kind, ()) if isinstance(kind, str) else ():
        value = jwk.get(name)
        if not isinstance(value, str) or not value.isascii():
            raise InvalidCredential(f"dpop: `{name}` of the `jwk` is no text")
        members[name] = value
    if not members:
        raise InvalidCredential("dpop: `jwk` is of no kind that is known here")
    if any(len(members.get(name, "")) > longest for name, longest in _LONGEST.items()):
        raise InvalidCredential("dpop: `jwk` is a key that is too long")
    return members


def _key(jwk: Mapping[str, str], algorithm: str) -> VerificationKey | None:
    fitting = [one for one in ALGORITHMS if one == algorithm]
    try:
        keys = read_keys(json.dumps({"keys": [jwk]}), place=f"jwks of `{HEADER}`", algorithms=fitting)
    except ConfigurationError:
        return None
    return keys.find(None, algorithm)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidCredential(f"dpop: `{name}` is no text")
    return value


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidCredential(f"dpop: `{name}` is no number")
    return value


def _expiry(claims: Mapping[str, Any], now: float) -> float:
    """When the proof is too old, which is not yet."""
    expires_at = _time(claims, "iat") + PROOF_SECONDS + LEEWAY
    if "exp" in claims:
        expires_at = min(expires_at, _time(claims, "exp"))
    if now >= expires_at:
        raise InvalidCredential("dpop: the proof is too old")
    if any(name in claims and _time(claims, name) > now + LEEWAY for name in ("iat", "nbf")):
        raise InvalidCredential("dpop: the proof is of the future")
    return expires_at


Address = tuple[str, str, int | None, str]
"""Scheme, host, port and path, in the one spelling that RFC 3986 sections 6.2.2 and 6.2.3 lead to."""


def _address(htu: str) -> Address:
    found = _HTU.fullmatch(re.split("[?#]", htu, maxsplit=1)[0])
    if found is None:
        raise InvalidCredential("dpop: `htu` is no address")
    scheme, host, port, path = found.groups()
    return _normal(scheme, host, port, path or "/")


def _address_of(http: HttpRequest) -> Address:
    port = _PORT.search(http.authority)
    return _normal(http.scheme, http.host, None if port is None else port[1], http.raw_path or "/")


def _normal(scheme: str, host: str, port: str | None, path: str) -> Address:
    scheme, host = scheme.lower(), host.lower().removesuffix(".")
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise InvalidCredential("dpop: `htu` is no address") from None
    return scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else int(port), _ESCAPE.sub(_unescaped, path)


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) is not None else escape[0].upper()


def _id(thumbprint: str, jti: str) -> str:
    return sha256(json.dumps([thumbprint, jti]).encode("ascii")).hexdigest()


def _base64url(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
