"""A recovery code: good once, and gone with its use.

The rule: it is counted by the limiters of every other code, so that nobody gets more tries by guessing both.
"""

from extauthz.check.proof.proving import CodeOutcome, LockedOut, NotProven, Proving
from extauthz.stepup.recovery import canonical, find
from extauthz.store.protocol import UseUp


async def prove_recovery(proving: Proving, typed: str) -> CodeOutcome:
    """Try what somebody has `typed` for the demands that a recovery code can meet; if it is one, they get their grants.

    Raises:
        StateUnavailable: the store is out of reach, or a digest does not open with any key.
    """
    accepted = proving.demands_for("recovery")
    if not accepted:
        return NotProven(reason="factor-not-accepted")
    factors = await proving.enrolled("recovery")
    if not factors:
        return NotProven(reason="not-enrolled")
    if canonical(typed) is None:
        return NotProven(reason="wrong-code")
    tried = await proving.count_try()
    if isinstance(tried, LockedOut):
        return tried
    found = find(typed, {factor.id: proving.opened(factor) for factor in factors})
    if found is None:
        return NotProven(reason="wrong-code", locks=tried.locks)
    used = NotProven(reason="code-used", locks=tried.locks)
    return await proving.redeem(
        UseUp(factor=found),
        tuple(proving.grant(demand, "recovery") for demand in accepted),
        mark_used=used,
        gone=used,
        tried=tried,
    )
