"""Whom a rule asks at a moment: those who are told that something waits for them.

The rule: it is the same circles that are asked when somebody answers (`terms.Terms.asks`). Conditions on single people
are not worked out here: nobody is known before they log in.
"""

from collections.abc import Iterable

from extauthz.approval.on_call import Schedules, on_call
from extauthz.approval.telling.addressing import Audience
from extauthz.approval.terms import Terms
from extauthz.values.approvals import ON_CALL, Absence, Approval


def audience(
    approval: Approval, terms: Terms | None, *, schedules: Schedules, absences: Iterable[Absence], now: float
) -> Audience:
    """Those whom the rule asks at `now` (seconds since the epoch), and the delegates of those who are absent."""
    if terms is None:
        return Audience()
    waited = now - approval.opened_at
    circles = [terms.circle, *(step.circle for step in terms.escalate if step.after <= waited)]
    groups = frozenset[str]().union(*(circle.groups for circle in circles))
    subjects = frozenset[str]().union(*(circle.subjects for circle in circles))
    away = [absence for absence in absences if absence.since <= now < absence.until]
    gone = frozenset(absence.absent.person for absence in away)
    on_duty = frozenset[str]().union(
        *(persons for name, persons in on_call(schedules, now).items() if ON_CALL + name in groups)
    )
    delegates = {
        absence.delegate
        for absence in away
        if absence.delegate is not None
        and (
            absence.absent.person in on_duty
            or absence.absent.subject.id in subjects
            or not groups.isdisjoint(absence.absent.groups)
        )
    }
    return Audience(groups=groups, subjects=subjects, persons=(on_duty - gone) | delegates)
