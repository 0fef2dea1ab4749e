"""Checks of clocks: that of this machine against those of others. No clock is asked that nobody has named."""

from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from extauthz.app.doctor.checks import Said, ok, problem, warning

TELL: Final = 5.0
"""Seconds apart that are told."""
TOO_MUCH: Final = 30.0
"""Seconds apart at which tokens, one-time codes and grants come out wrong."""


def compared(whose: str, dated: str | None, between: tuple[float, float]) -> Sequence[Said]:
    """A clock by the `Date` of an answer (RFC 9110 section 6.6.1), given between two moments of ours.

    It tells whole seconds: the moment was within the one that it names.
    """
    if dated is None:
        return []
    try:
        named = parsedate_to_datetime(dated)
    except (ValueError, OverflowError):  # an overflow is what numbers of many digits are
        return [warning(f"{whose} tells no date that can be read", "look at what answers there")]
    first = (named if named.tzinfo is not None else named.replace(tzinfo=UTC)).timestamp()
    return [judged(whose, apart_by((first, first + 1.0), between))]


def apart_by(theirs: tuple[float, float], ours: tuple[float, float]) -> float:
    """How far a clock is ahead of ours, at least, in seconds; negative for behind. Both tell between which moments."""
    if theirs[0] > ours[1]:
        return theirs[0] - ours[1]
    return min(0.0, theirs[1] - ours[0])


def judged(whose: str, ahead: float) -> Said:
    """What to say of such a clock."""
    if abs(ahead) <= TELL:
        return ok(f"{whose}: the clocks agree")
    seen = f"{whose}: its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of this machine"
    do = "let both follow the same time servers; tokens, codes and grants count by them"
    return problem(seen, do) if abs(ahead) > TOO_MUCH else warning(seen, do)
