"""Who answers approvals: from a token of the approvers' issuer to an approver.

The rules: an approver is one person whom the configuration can tell from all others, by their own token; what somebody
else holds on their behalf answers nothing. And only groups that the issuer itself may give are taken from it: who is on
call is said by our schedules.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from extauthz.approval.persons import Persons
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import ExtauthzError, InvalidCredential, IssuerUnavailable
from extauthz.identity.claims import VerifiedToken
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Lookup
from extauthz.identity.tokens import Verifier
from extauthz.identity.user_config import AUTHORIZATION, JwtSource
from extauthz.stepup.factors import FACTOR_AMR, proven_amr
from extauthz.values.approvals import ON_CALL, Approver, Proof
from extauthz.values.identity import Identity, User

_NAMES: Final = ("name", "preferred_username", "email")
"""The claims that people are called by, the best first (OpenID Connect Core section 5.1)."""
_BEARER: Final = "bearer"

_log = structlog.get_logger(__name__)


class NotAnApprover(ExtauthzError):
    """The token is good, and whoever holds it answers no approval; `reason` is a stable word for why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """An approver, and what they are known by. `proofs` are the factors that the token itself proves, `expires_at` is
    in seconds since the epoch."""

    approver: Approver
    identity: Identity
    session: str
    proofs: tuple[Proof, ...]
    expires_at: float


def approver_of(user: User, *, persons: Persons, claims: Iterable[str]) -> Approver:
    """The approver that `user` is, with those of the `claims` that are there.

    Raises:
        NotAnApprover: somebody acts for them, or nobody can tell which person they are.
    """
    if user.actor is not None:
        raise NotAnApprover("acted-for", "the token is held by somebody who acts for its subject; answer by your own")
    person = persons.person(user.subject, user.claims)
    if person is None:
        raise NotAnApprover("no-person", "nobody can tell which person this is; see `approvals.persons`")
    return Approver(
        subject=user.subject,
        person=person,
        groups=frozenset(group for group in user.groups if not group.startswith(ON_CALL)),
        claims={name: user.claims[name] for name in claims if name in user.claims},
        name=_name(user),
    )


class ApproverTokens:
    """Reads the tokens of `source`, whose keys in a file are `jwks` (`None` if they are fetched).

    `ask` asks whoever publishes keys; what is found comes by `take`. `claims` are the names of those that approvers are
    known with, `clock` gives seconds since the epoch. Belongs to one event loop. Raises `ConfigurationError` for keys
    that can't be used.
    """

    def __init__(
        self,
        source: JwtSource,
        *,
        jwks: str | None,
        ask: Callable[[Lookup], Awaitable[Answer]],
        persons: Persons,
        claims: Sequence[str],
        revocations: RevocationFeed,
        clock: Callable[[], float],
    ) -> None:
        self._verifier = Verifier((source,), {} if jwks is None else {source.name: jwks})
        self._ask = ask
        self._persons = persons
        self._claims = claims
        self._revocations = revocations
        self._clock = clock

    def take(self, source: str, keys: KeySet) -> None:
        """These are the keys from now on."""
        self._verifier = self._verifier.with_keys(source, keys)

    async def authenticate(self, authorization: Sequence[str]) -> LoggedIn:
        """Whom the one bearer token in these values of the Authorization header proves (RFC 6750 section 2.1).

        Raises:
            InvalidCredential: there is none, or it is not good.
            SubjectBlocked, RevocationsStale: its subject is blocked, or nobody knows.
            IssuerUnavailable: nobody knows the keys.
            NotAnApprover: as `approver_of`.
        """
        now = self._clock()
        token = await self._verified(_bearer(authorization), now)
        # RFC 8705, RFC 9449: what is bound to a key is not a bearer token.
        token.confirmation.check(certificate="", key="")
        logged_in = LoggedIn(
            approver=approver_of(token.user, persons=self._persons, claims=self._claims),
            identity=Identity(user=token.user, session=token.session, credentials=(token.credential,)),
            session=token.session,
            proofs=_proofs(token.user),
            expires_at=token.validity.expires,
        )
        self.check(logged_in)
        return logged_in

    def check(self, logged_in: LoggedIn) -> None:
        """Return if they are logged in still.

        Raises:
            InvalidCredential: the token is over, or was revoked.
            SubjectBlocked, RevocationsStale: its subject is blocked, or nobody knows.
        """
        now = self._clock()
        if now >= logged_in.expires_at:
            raise InvalidCredential("token: `exp` is over")
        self._revocations.check(logged_in.identity, now=now)

    async def _verified(self, token: str, now: float) -> VerifiedToken:
        outcome = self._verifier.verify(token, place=AUTHORIZATION, now=now)
        if not isinstance(outcome, VerifiedToken):
            answers = {outcome: await self._ask(outcome)}
            outcome = self._verifier.verify(token, place=AUTHORIZATION, now=now, answers=answers)
        if not isinstance(outcome, VerifiedToken):
            raise IssuerUnavailable(f"`{outcome.source}` is asked again and again")
        return outcome


def _bearer(authorization: Sequence[str]) -> str:
    scheme, _, token = (authorization[0] if len(authorization) == 1 else "").partition(" ")
    if scheme.lower() != _BEARER or not token.strip(" "):
        raise InvalidCredential("authorization: expected `Bearer`, a blank and one token")
    return token.strip(" ")


def _proofs(user: User) -> tuple[Proof, ...]:
    """What the token says was proven, and when: at its `auth_time`, and without one not at all."""
    at = user.auth_time
    if at is None:
        return ()
    # `amr` has no word for a user who was verified by the very key: of a key, only that it was used.
    return tuple(
        Proof(factor=proven_amr(factor, acr=None, user_verified=False), at=float(at))
        for factor in FACTOR_AMR
        if factor in user.proven_factors
    )


def _name(user: User) -> str:
    named = (user.claims.get(claim) for claim in _NAMES)
    return next((text for text in named if isinstance(text, str) and text.strip()), user.sub)
