"""A compact JWS taken apart, with nothing believed yet (RFC 7515 section 3.1, RFC 7519 section 7.2).

The rule: one text, one reading. Padding, other alphabets, set bits beyond the end, duplicate members, numbers and
strings that another reader would take otherwise: no token. The limits hold before any signature is looked at.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from math import isfinite
from typing import Any, NoReturn

import msgspec

from extauthz.values.quoting import given

MAX_TOKEN_LENGTH = 16384
MAX_DEPTH = 16
MAX_INTEGER = 2**63

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Unreadable(Exception):
    """This text is no token or no JSON object that has one reading; the message says why."""


class CompactToken(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a token: two JSON objects, and what `signature` is to be checked over."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """What the token is known by; see `digest_of`."""
        return sha256(self.signing_input).hexdigest()


def digest_of(token: str) -> str:
    """What any token is known by where it is remembered, forgotten or revoked: a SHA-256 in lower-case hex.

    Of a signed one it is over all but the signature, which whoever holds the token can replace: to one of ECDSA,
    (r, s), there is always (r, n - s), and the text with that must not be another token.
    """
    try:
        return take_apart(token).digest
    except Unreadable:
        return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def take_apart(text: str) -> CompactToken:
    """The parts of a compact JWS with a JSON payload. Raises `Unreadable`; bounded by `MAX_TOKEN_LENGTH`."""
    if len(text) > MAX_TOKEN_LENGTH:
        raise Unreadable(f"longer than {MAX_TOKEN_LENGTH} characters")
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise Unreadable("not three parts of base64url")
    header, claims, signature = match.groups()
    return CompactToken(
        header=json_object(_bytes(header, "header")),
        claims=json_object(_bytes(claims, "payload")),
        signing_input=text[: match.end(2)].encode("ascii"),
        signature=_bytes(signature, "signature"),
    )


def json_object(document: str | bytes) -> dict[str, Any]:
    """The JSON object in `document`, if every reader reads it alike (RFC 8259 section 4 and 6). Raises `Unreadable`."""
    try:
        text = document if isinstance(document, str) else document.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_distinct_members,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    except RecursionError:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise Unreadable("not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("not a JSON object")
    _check_depth(value)
    return value


def _bytes(part: str, name: str) -> bytes:
    try:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Unreadable(f"{name}: not base64url") from None
    # RFC 4648 section 3.5: bits that are left over at the end are zero, or two texts are one token.
    if urlsafe_b64encode(decoded).rstrip(b"=") != part.encode("ascii"):
        raise Unreadable(f"{name}: not the canonical base64url")
    return decoded


def _distinct_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable("a member is there twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"{given(name)} is not JSON")


def _integer(digits: str) -> int:
    # The length first: the conversion of long texts is slow, and fails for very long ones.
    if len(digits) > 20 or not -MAX_INTEGER <= (value := int(digits)) < MAX_INTEGER:
        raise Unreadable("a number beyond 64 bits")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise Unreadable("a number that is too large")
    return value


def _check_depth(value: object) -> None:
    """Walk level by level, so that the walk itself can't run out of stack; look at the strings on the way."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and not item.isascii():
                _check_text(item)
        if not below:
            return
        level = below
    raise Unreadable(f"nested deeper than {MAX_DEPTH}")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable("half a surrogate pair in a string") from None
