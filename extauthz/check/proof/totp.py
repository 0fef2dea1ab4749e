"""A one-time code of an authenticator app: the one flow behind the challenge page and `x-extauthz-otp`.

The rule: each step is burned once, whichever way its code came.
"""

from collections.abc import Sequence

from extauthz.check.proof.proving import CodeOutcome, LockedOut, NotProven, Proving
from extauthz.stepup.totp import is_code, verify
from extauthz.store.protocol import Advance, EnrolledFactor


async def prove_totp(proving: Proving, code: str) -> CodeOutcome:
    """Try `code` for the demands that a one-time code can meet; if it is right, they get their grants.

    Raises:
        StateUnavailable: the store is out of reach, or the factor's secret does not open with any key.
    """
    accepted = proving.demands_for("totp")
    if not accepted:
        return NotProven(reason="factor-not-accepted")
    factors = await proving.enrolled("totp")
    if not factors:
        return NotProven(reason="not-enrolled")
    if not is_code(code):
        return NotProven(reason="wrong-code")
    tried = await proving.count_try()
    if isinstance(tried, LockedOut):
        return tried
    step = _find_step(proving, factors, code)
    if step is None:
        return NotProven(reason="wrong-code", locks=tried.locks)
    return await proving.redeem(
        step,
        tuple(proving.grant(demand, "totp") for demand in accepted),
        mark_used=NotProven(reason="code-used", locks=tried.locks),
        gone=NotProven(reason="not-enrolled"),
        tried=tried,
    )


def _find_step(proving: Proving, factors: Sequence[EnrolledFactor], code: str) -> Advance | None:
    found: Advance | None = None
    for factor in factors:
        step = verify(proving.opened(factor), code, proving.now)
        if step is not None and found is None:
            found = Advance(factor=factor.id, mark=step)
    return found
