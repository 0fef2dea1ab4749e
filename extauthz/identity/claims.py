"""From the claims of a token to a user (RFC 7519 section 4, RFC 8176, RFC 8693 section 4.1, OpenID Connect Core 2).

The rule: a claim that is there has the type that its specification gives it, or the token is refused. A claim that is
read as absent because it is odd would slip past every rule that forbids something by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from sys import intern
from types import MappingProxyType
from typing import Any, Final

import msgspec

from extauthz.errors import InvalidCredential
from extauthz.identity.actors import actor, subjects
from extauthz.identity.confirmation import Confirmation, confirmation
from extauthz.identity.holders import session
from extauthz.identity.user_config import UserSource
from extauthz.values.identity import Credential, Subject, User

_SPIFFE = "spiffe://"

LAST_SECOND = 253_402_300_799
"""The end of the year 9999: a later time is one in milliseconds, and would never come."""
_ROUNDING = 0.001
"""Seconds by which no sum of times is wrong."""
_NOTHING: Final[frozenset[str]] = frozenset()


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """When a token counts, in seconds since the epoch; `leeway` is how far its issuer's clock may run ahead."""

    expires: float
    starts: tuple[tuple[str, float], ...]
    leeway: float

    @property
    def since(self) -> float:
        """From when on it has begun for sure: sums of floats are not exact to the last bit."""
        return max([time for _, time in self.starts], default=-inf) - self.leeway + _ROUNDING

    def check(self, now: float) -> None:
        """Raise `InvalidCredential` unless the token counts at `now`."""
        if now >= self.expires:  # RFC 7519 section 4.1.4: not on or after; no leeway, so that expired is expired
            raise InvalidCredential("token: `exp` is over")
        for name, time in self.starts:
            if now + self.leeway < time:
                raise InvalidCredential(f"token: `{name}` is in the future")


def validity(claims: Mapping[str, Any], *, leeway: float, may_be_endless: bool = False) -> Validity:
    """The times in `claims`. Raises `InvalidCredential` without `exp` and for times that are no numbers.

    `may_be_endless` accepts what does not say when it ends.
    """
    expires = _time(claims, "exp")
    if expires is None and may_be_endless:
        expires = inf
    if expires is None:
        raise InvalidCredential("token: no `exp`; what never ends is not accepted")
    starts = ((name, _time(claims, name)) for name in ("nbf", "iat", "auth_time"))
    return Validity(
        expires=expires, starts=tuple((name, time) for name, time in starts if time is not None), leeway=leeway
    )


class Presented(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the tokens of a request prove; `session` is `None` where there is no user.

    `credentials` are the tokens. `key` is the thumbprint of the key that the sender has proven to hold, empty for none.
    One is the same as another only if it is that one: what goes with it is remembered by it. From `since` until before
    `until`, in seconds since the epoch, the same texts prove the same and nobody needs to be asked; never by default.
    """

    user: User | None = None
    session: str | None = None
    credentials: tuple[Credential, ...] = ()
    key: str = ""
    since: float = inf
    until: float = -inf


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """A user by claims that somebody has vouched for: a signature, the issuer itself, or Envoy.

    `session` is the token's own word for its session, or the token itself. `credential` is what it can be revoked by.
    `confirmation` is what must be there beside the token, which whoever uses it has to check. `alone` is what a request
    presents that carries no other token and no proof.
    """

    user: User
    credential: Credential
    session: str
    validity: Validity
    confirmation: Confirmation
    alone: Presented = field(compare=False)


def verified(
    claims: Mapping[str, Any],
    source: UserSource,
    *,
    token_hash: str,
    cookie: bool = False,
    may_be_endless: bool = False,
) -> VerifiedToken:
    """What these claims of `source` say; `token_hash` is the SHA-256 in hex of what they were read from.

    `cookie` is whether that was a cookie, `may_be_endless` whether the issuer is asked so often that `exp` is not
    needed. Raises `InvalidCredential`; the time is not looked at.
    """
    named = _user(claims, source, token_hash=token_hash, cookie=cookie)
    own_session = session(named)
    own_credential = credential(
        claims,
        named.subject,
        *subjects(named.actor, issuer=named.iss),
        digest=token_hash,
        in_authorization=not cookie,
    )
    times = validity(claims, leeway=source.leeway, may_be_endless=may_be_endless)
    # Whoever has to be asked so often says no more than what is so now.
    lasts = (inf, -inf) if may_be_endless else (times.since, times.expires)
    return VerifiedToken(
        user=named,
        credential=own_credential,
        session=own_session,
        validity=times,
        confirmation=confirmation(claims),
        alone=Presented(user=named, session=own_session, credentials=(own_credential,), since=lasts[0], until=lasts[1]),
    )


def credential(claims: Mapping[str, Any], *about: Subject, digest: str, in_authorization: bool) -> Credential:
    """What the token with these claims, which is about these subjects, can be revoked by.

    Raises `InvalidCredential` for a claim that is not of its type.
    """
    return Credential(
        subjects=about,
        issued_at=_time(claims, "iat"),
        sid=_text(claims, "sid"),
        jti=_text(claims, "jti"),
        digest=digest,
        in_authorization=in_authorization,
    )


def _user(claims: Mapping[str, Any], source: UserSource, *, token_hash: str, cookie: bool) -> User:
    if claims.get("iss") != source.issuer:
        raise InvalidCredential("token: `iss` is not the issuer that is expected here")
    named = audiences(claims)
    if source.audiences and not set(named) & set(source.audiences):
        raise InvalidCredential("token: `aud` names none of the audiences that are expected here")
    subject = _text(claims, "sub")
    if subject is None:
        raise InvalidCredential("token: no `sub`")
    if subject[: len(_SPIFFE)].lower() == _SPIFFE:
        # A JWT-SVID, by whatever issuer: workloads have sources of their own, and one token is never both.
        raise InvalidCredential("token: `sub` is that of a workload; read it with `workload.jwt_svid`")
    auth_time = _time(claims, "auth_time")
    issued_at = _time(claims, "iat")
    amr, acr, meanings = _texts(claims, "amr"), _text(claims, "acr"), source.proofs
    return User(
        sub=subject,
        iss=source.issuer,
        aud=named,
        groups=_texts(claims, source.groups_claim),
        # Thousands of tokens are remembered, and their claims have the same few names.
        claims=MappingProxyType({intern(name): value for name, value in claims.items()}),
        amr=amr,
        acr=acr,
        proven_factors=_NOTHING if meanings is None else _shared(meanings.factors(amr)),
        proven_acr=_NOTHING if meanings is None else _shared(meanings.classes(acr)),
        auth_time=None if auth_time is None else int(auth_time),
        issued_at=None if issued_at is None else int(issued_at),
        actor=actor(claims),
        verified_by=source.name,
        sid=_text(claims, "sid"),
        token_hash=token_hash,
        cookie=cookie,
    )


@lru_cache(maxsize=64)
def _shared(meant: frozenset[str]) -> frozenset[str]:
    """One for all that are equal: tokens mean the same few things."""
    return meant


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidCredential(f"token: `{name}` is no number")
    if not 0 <= value <= LAST_SECOND:
        raise InvalidCredential(f"token: `{name}` is not in seconds since 1970")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if not isinstance(value, str) or not value:
        raise InvalidCredential(f"token: `{name}` is no text")
    return value


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    if name not in claims:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidCredential(f"token: `{name}` is no list of texts")
    return tuple(value)


def audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Whom a token is for (RFC 7519 section 4.1.3): one text or a list of them. Raises `InvalidCredential`."""
    value = claims.get("aud")
    return (value,) if isinstance(value, str) else _texts(claims, "aud")
