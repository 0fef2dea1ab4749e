"""Users by claims that Envoy's `jwt_authn` has verified and left in the metadata of the request.

The rule: only the namespaces and keys that are configured are looked at, and whoever can write there can be anybody;
so nothing but filters of Envoy may. Signature and keys were Envoy's to check. Issuer, audiences, time and the types of
claims are checked here, as for every token.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

from extauthz.errors import InvalidCredential
from extauthz.identity.claims import VerifiedToken, verified
from extauthz.identity.compact import MAX_DEPTH
from extauthz.identity.user_config import MetadataSource, namespace_and_key

_EXACT: Final = 2**53
"""The integers up to here are what they were before a Struct made floats of them."""


class EnvoyClaims:
    """Reads the claims at the places of these sources; may be shared by threads."""

    def __init__(self, sources: Iterable[MetadataSource]) -> None:
        places: dict[str, dict[str, MetadataSource]] = {}
        for source in sources:
            for place in source.places:
                places.setdefault(place, {})[source.issuer] = source
        self._places = tuple((*namespace_and_key(place), places[place]) for place in sorted(places))

    def read(self, metadata: Mapping[str, Any], *, now: float) -> list[VerifiedToken]:
        """The users by the filter metadata of a request at `now` (seconds since the epoch).

        Raises `InvalidCredential` for claims that are there and do not hold.
        """
        found: list[VerifiedToken] = []
        for namespace, key, sources in self._places:
            written = metadata.get(namespace)
            if written is not None and key in written:
                found.append(_token(written[key], sources, now))
        return found


def _token(value: object, sources: Mapping[str, MetadataSource], now: float) -> VerifiedToken:
    if not isinstance(value, dict):
        raise InvalidCredential("metadata: no claims, but something else")
    claims = {name: _plain(member, 1) for name, member in value.items()}
    issuer = claims.get("iss")
    source = sources.get(issuer) if isinstance(issuer, str) else None
    if source is None:
        raise InvalidCredential("metadata: `iss` is not of an issuer whose claims are read here")
    token = verified(claims, source, token_hash=_digest(claims))
    token.validity.check(now)
    return token


def _plain(value: object, depth: int) -> object:
    """The value as a token's JSON would have given it: what was written as an integer is one."""
    if depth >= MAX_DEPTH:
        raise InvalidCredential(f"metadata: claims nested deeper than {MAX_DEPTH}")
    match value:
        case float():
            if not -_EXACT <= value <= _EXACT:  # NaN is not, either
                raise InvalidCredential("metadata: a number that has lost digits on the way")
            return int(value) if value.is_integer() else value
        case dict():
            return {name: _plain(member, depth + 1) for name, member in value.items()}
        case list():
            return [_plain(member, depth + 1) for member in value]
        case _:
            return value


def _digest(claims: Mapping[str, Any]) -> str:
    """What stands for the token, which is not there: equal claims are one token."""
    return sha256(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()
