"""How a one-time code becomes grants: the one flow behind the challenge page and `x-extauthz-otp`.

The rule: a grant is left only together with burning the step (and the ticket) that it was given for, and every try is
counted before its code is looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from extauthz.errors import StateUnavailable
from extauthz.stepup.factors import FACTOR_AMR
from extauthz.stepup.keys import KeyRing, SealBroken
from extauthz.stepup.lockout import limits_of
from extauthz.stepup.totp import is_code, verify
from extauthz.store.factor_secret import open_factor
from extauthz.store.protocol import Advance, EnrolledFactor, Redeemed, Redemption, SpentTicket, Store
from extauthz.values.decisions import ChallengeDemand, ProofFailure
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

GRANT_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """The code was right; these grants are in the store."""

    grants: tuple[Grant, ...]
    reason: Literal["proven"] = "proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotProven:
    """Nothing was proven.

    `wrong-code`: no authenticator of the subject shows this code now. `code-used`: it was right and was used before;
    the next one will do. `not-enrolled`: the subject has no authenticator app. `factor-not-accepted`: no demand can be
    met by a one-time code.
    """

    reason: ProofFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOut:
    """Too many wrong codes; ask again after `retry_after` seconds. The code was not looked at."""

    retry_after: float
    reason: Literal["locked-out"] = "locked-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketUsed:
    """The ticket has served its one challenge."""

    reason: Literal["ticket-used"] = "ticket-used"


ProofOutcome = Proven | NotProven | LockedOut | TicketUsed


async def prove_totp(
    *,
    store: Store,
    keys: KeyRing,
    subject: Subject,
    session: str,
    holder: str,
    demands: Sequence[ChallengeDemand],
    code: str,
    address: str,
    now: float,
    entropy: Callable[[int], bytes],
    ticket: SpentTicket | None = None,
) -> ProofOutcome:
    """Try `code` for the demands that a one-time code can meet; if it is right, they get their grants.

    `address` is the client's, empty if it is not known; `now` in seconds since the epoch; `entropy(n)` gives n random
    bytes; `ticket` is burned along.

    Raises:
        StateUnavailable: the store is out of reach, or the factor's secret does not open with any key.
    """
    accepted = [demand for demand in demands if "totp" in demand.factors]
    if not accepted:
        return NotProven(reason="factor-not-accepted")
    factors = [factor for factor in await store.factors(subject) if factor.kind == "totp" and factor.confirmed]
    if not factors:
        return NotProven(reason="not-enrolled")
    if not is_code(code):
        return NotProven(reason="wrong-code")
    limits = limits_of(subject, address)
    wait = await store.attempt(limits, now=now)
    if wait > 0:
        return LockedOut(retry_after=wait)
    step = _find_step(factors, keys, code, now)
    if step is None:
        return NotProven(reason="wrong-code")
    grants = tuple(
        Grant(
            id=entropy(GRANT_ID_BYTES).hex(),
            subject=subject,
            session=session,
            holder=holder,
            binding=demand.binding,
            rule=demand.rule,
            factor=FACTOR_AMR["totp"],
            issued_at=now,
            expires_at=now + demand.max_age,
            uses=demand.uses,
        )
        for demand in accepted
    )
    redemption = Redemption(subject=subject, burn=step, grants=grants, limits=limits, ticket=ticket)
    redeemed = await store.redeem(redemption, now=now)
    match redeemed:
        case Redeemed.DONE:
            return Proven(grants=grants)
        case Redeemed.MARK_USED:
            return NotProven(reason="code-used")
        case Redeemed.TICKET_USED:
            return TicketUsed()
        case Redeemed.FACTOR_GONE:
            return NotProven(reason="not-enrolled")
        case _:
            assert_never(redeemed)


def _find_step(factors: Sequence[EnrolledFactor], keys: KeyRing, code: str, now: float) -> Advance | None:
    found: Advance | None = None
    for factor in factors:
        try:
            step = verify(open_factor(factor, keys), code, now)
        except SealBroken as error:
            raise StateUnavailable(f"factor `{factor.id}`: {error}") from error
        if step is not None and found is None:
            found = Advance(factor=factor.id, mark=step)
    return found
