"""The user of a request by the tokens that it carries, and the session that they belong to.

The rule: every token that was presented at a place that is configured is valid, or the Check ends here; two that name
two subjects are nobody.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

from extauthz.errors import IdentityConflict
from extauthz.identity.authorization import bearer
from extauthz.identity.claims import VerifiedToken
from extauthz.identity.envoy_claims import EnvoyClaims
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answers, Awaiting, Lookup
from extauthz.identity.tokens import Verifier
from extauthz.identity.user_config import (
    AUTHORIZATION,
    COOKIE_PREFIX,
    MetadataSource,
    UserSource,
)
from extauthz.values.identity import User
from extauthz.values.request import HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What the tokens of a request prove; `session` is `None` where there is no user."""

    user: User | None = None
    session: str | None = None


NOBODY = Presented()


class Users:
    """Reads the users of requests under one configuration; may be shared by threads.

    `jwks` maps the names of the sources to the texts of their JWK Sets. Raises `ConfigurationError` for keys that
    can't be used.
    """

    def __init__(self, sources: tuple[UserSource, ...], jwks: Mapping[str, str]) -> None:
        places = {place for source in sources for place in source.places}
        self._verifier = Verifier(sources, jwks)
        self._envoy_claims = EnvoyClaims(source for source in sources if isinstance(source, MetadataSource))
        self.reads_authorization = AUTHORIZATION in places
        """Whether bearer credentials are tokens of users."""
        self.cookies = tuple(
            sorted(place.removeprefix(COOKIE_PREFIX) for place in places if place.startswith(COOKIE_PREFIX))
        )
        """The names of the cookies that hold tokens."""

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """The same with these keys for the source `name`."""
        renewed = copy(self)
        renewed._verifier = self._verifier.with_keys(name, keys)
        return renewed

    def read(
        self,
        http: HttpRequest,
        cookies: Mapping[str, str],
        metadata: Mapping[str, Any],
        *,
        certificate: str,
        bearer_is_taken: bool,
        now: float,
        answers: Answers,
    ) -> Presented | Awaiting:
        """The user of `http`, whose `cookies` are those of `self.cookies`, or what must be known before.

        `metadata` is that of Envoy's filters, by namespace; `certificate` is the SHA-256 in hex of the certificate that
        the connection proves, empty without one; `bearer_is_taken` says that the bearer credential is a workload's.
        Raises `MalformedRequest`, `InvalidCredential`, `IdentityConflict` and `IssuerUnavailable`.
        """
        outcomes = [
            self._verifier.verify(token, place=place, now=now, answers=answers)
            for place, token in self._tokens(http, cookies, bearer_is_taken=bearer_is_taken)
        ]
        tokens: list[VerifiedToken] = []
        missing: list[Lookup] = []
        for outcome in outcomes:
            if isinstance(outcome, VerifiedToken):
                tokens.append(outcome)
            else:
                missing.append(outcome)
        if missing:
            return Awaiting(lookups=tuple(missing))
        tokens += self._envoy_claims.read(metadata, now=now)
        if not tokens:
            return NOBODY
        for token in tokens:
            token.confirmation.check(certificate=certificate, key="")
        return Presented(user=_one_user(tokens), session=_session(tokens))

    def _tokens(self, http: HttpRequest, cookies: Mapping[str, str], *, bearer_is_taken: bool) -> list[tuple[str, str]]:
        """Every token that was presented with its place: the one of the Authorization header first."""
        found: list[tuple[str, str]] = []
        if self.reads_authorization and not bearer_is_taken:
            token = bearer(http)
            if token is not None:
                found.append((AUTHORIZATION, token))
        for name in self.cookies:
            value = cookies.get(name)
            if value is not None:
                found.append((COOKIE_PREFIX + name, value))
        return found


def _one_user(tokens: list[VerifiedToken]) -> User:
    first, *others = tokens
    for other in others:
        if other.user.subject != first.user.subject:
            raise IdentityConflict(
                f"tokens: `{first.user.verified_by}` and `{other.user.verified_by}` name two subjects"
            )
    return first.user


def _session(tokens: list[VerifiedToken]) -> str:
    """The token's `sid`, else the hash of the session cookie, else that of the token."""
    first = tokens[0]
    if first.user.sid is None:
        for token in tokens:
            if token.user.cookie:
                return token.session
    return first.session
