"""What identity may have to ask somebody else before it knows who calls: the questions and their answers.

The rule: the core asks nobody. It says what it has to know (`Awaiting`), is called again with the answers, and whoever
can't be reached is never taken for a yes: the Check ends with `IssuerUnavailable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchKeys:
    """The keys of the source with this name: none are known yet, or a token names one that is not among them.

    Whoever answers has given the resolver the keys that were found; there is nothing in the answer itself. `held` are
    the `kid`s that were looked through, `None` for no keys at all: if there are others by now, they are the answer.
    """

    source: str
    held: frozenset[str | None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspect:
    """What the issuer of the source with this name says of a token (RFC 7662)."""

    source: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewToken:
    """What the API server of the cluster with this name says of a service account's token (TokenReview)."""

    source: str
    token: str = field(repr=False)


class UseProof(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a proof of possession (RFC 9449) is used for the first time; asked when all else holds.

    `id` tells it from every other proof, and from `expires_at` on, in seconds since the epoch, it is too old anyway.
    """

    source: str
    id: str
    expires_at: float


Lookup = FetchKeys | Introspect | ReviewToken | UseProof
"""A closed union of the questions."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It was done; the answer has no content."""


class Unreachable(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody answered, or not in a way that can be understood; `detail` is for the record."""

    detail: str


class Introspected(msgspec.Struct, frozen=True, kw_only=True):
    """What the issuer said: the members of its response, of which `active` is there and a boolean.

    `asked_at` is when it was asked, in seconds since the epoch.
    """

    response: Mapping[str, Any]
    asked_at: float


class Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """What the API server said: whether it knows the token, whose it is, and whom it is for."""

    authenticated: bool
    username: str
    audiences: tuple[str, ...]


class UsedBefore(msgspec.Struct, frozen=True, kw_only=True):
    """A proof was used by another request."""


Answer = Done | Unreachable | Introspected | Reviewed | UsedBefore
Answers = Mapping[Lookup, Answer]
NO_ANSWERS: Final[Answers] = MappingProxyType({})


class Awaiting(msgspec.Struct, frozen=True, kw_only=True):
    """The caller is not known before these are answered; they do not depend on each other."""

    lookups: tuple[Lookup, ...]
