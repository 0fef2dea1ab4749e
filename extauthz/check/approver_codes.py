"""A one-time code that an approver sends along with a vote.

The rule: it is looked at only when the vote needs a fresh factor and is good otherwise, is burned once whichever way it
came, and is counted in the same limiters as every other code of that person.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, assert_never

from extauthz.check.approver_identity import LoggedIn
from extauthz.check.proof.proving import LockedOut, NotProven, Proven, Proving, TicketUsed
from extauthz.check.proof.telling import Trial
from extauthz.check.proof.totp import prove_totp
from extauthz.errors import ExtauthzError
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.stepup.keys import KeyRing
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Proof
from extauthz.values.decisions import ChallengeDemand, ProofFailure

_SECONDS: Final = 60.0
"""How long the grant of the code lives, which nothing looks up: the vote is given at once."""


class CodeRefused(ExtauthzError):
    """The code proves nothing; `retry_after` are the seconds for which no code is looked at."""

    def __init__(
        self, reason: ProofFailure | Literal["locked-out"], message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


_WORDS: Final = {
    "wrong-code": "the code is none of yours",
    "code-used": "the code was used before; wait for the next one",
    "not-enrolled": "you have no authenticator app here; prove a factor on the page",
    "factor-not-accepted": "the rule takes no one-time code; prove another factor on the page",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Proves codes; `clock` gives seconds since the epoch, `entropy(n)` n random bytes."""

    store: Store
    keys: KeyRing
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    chronicle: Chronicle = SILENT

    async def prove(self, code: str, *, by: LoggedIn, approval: Approval) -> Proof:
        """What the code proves of an approver who votes on `approval`.

        Raises:
            CodeRefused: nothing.
            StateUnavailable: the store is out of reach, or the secret does not open.
            SubjectBlocked, TokenRevoked: it was revoked meanwhile.
        """
        demand = ChallengeDemand(
            rule=approval.rule, factors=("totp",), max_age=_SECONDS, binding=f"approver {approval.id}", uses=1
        )
        proving = Proving(
            store=self.store,
            keys=self.keys,
            subject=by.approver.subject,
            session=by.session,
            holder="",
            credentials=by.identity.credentials,
            demands=(demand,),
            address="",
            now=self.clock(),
            entropy=self.entropy,
        )
        outcome = await prove_totp(proving, code)
        Trial(
            chronicle=self.chronicle,
            subject=by.approver.subject,
            factor="totp",
            by=f"approver:{by.approver.person}",
            origin=approval.picture.origin,
        ).tell(outcome)
        match outcome:
            case Proven(grants=(grant,)):
                return Proof(factor=grant.factor, at=grant.issued_at)
            case NotProven():
                raise CodeRefused(outcome.reason, _WORDS[outcome.reason])
            case LockedOut():
                raise CodeRefused(
                    "locked-out", "too many wrong codes; wait before the next", retry_after=outcome.retry_after
                )
            case Proven() | TicketUsed():
                raise AssertionError("one demand leaves one grant, and there is no ticket")
            case _:
                assert_never(outcome)
