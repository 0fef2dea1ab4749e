"""Who acts for the user: the `act` claim and the chain inside of it (RFC 8693 section 4.1).

The rule: every link can be named. Somebody in the chain whom nobody can name could approve what they asked for
themselves.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from extauthz.errors import InvalidCredential
from extauthz.values.identity import Subject

MAX_ACTORS: Final = 8
SPIFFE_SCHEME: Final = "spiffe://"


def actor(claims: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The current actor with those before it under `act`, as the claim says; `None` if nobody acts for the user.

    Raises `InvalidCredential` for a link without `sub`, with an odd `sub` or `iss`, and for more than MAX_ACTORS.
    """
    if "act" not in claims:
        return None
    link: Mapping[str, Any] = claims
    links = 0
    while "act" in link:
        if links == MAX_ACTORS:
            raise InvalidCredential(f"token: more than {MAX_ACTORS} in the chain of `act`")
        link = _link(link["act"])
        links += 1
    return MappingProxyType(claims["act"])


def subjects(actor: Mapping[str, Any] | None, *, issuer: str) -> tuple[Subject, ...]:
    """Everybody in the chain of `actor`, the current one first; who has no `iss` is of the token's `issuer`.

    An actor that goes by a SPIFFE ID is that workload, too, whoever says so.
    """
    found: list[Subject] = []
    while actor is not None:
        sub: str = actor["sub"]
        found.append(Subject(actor.get("iss", issuer), sub))
        if sub.startswith(SPIFFE_SCHEME):
            found.append(Subject("", sub))
        actor = actor.get("act")
    return tuple(found)


def _link(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidCredential("token: `act` is no object")
    for name in ("sub", "iss"):
        said = value.get(name)
        if (name == "sub" or name in value) and (not isinstance(said, str) or not said):
            raise InvalidCredential(f"token: `{name}` in `act` is no text")
    return value
