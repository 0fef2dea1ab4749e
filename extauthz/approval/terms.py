"""What a rule demands of those who answer: whom it asks, after which time others, too, and what an answer needs.

The rule: it is the rule in force now that says so, not the one by which an approval was opened. Who is in no circle is
not asked.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from extauthz.values.approvals import Approver, Matter
from extauthz.values.identity import Subject

Condition = Callable[[Approver, Matter], bool]
"""Whether the rule takes this approver for what is asked; it never raises, what errs is a no."""


class Circle(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """People who are asked: who is in one of `groups` or is listed by `sub`, and fits `when`.

    With neither groups nor subjects it is whoever fits `when`. Subjects are those of the approvers' issuer.
    """

    groups: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    when: Condition | None = None

    def takes(self, approver: Approver, matter: Matter) -> bool:
        """Whether this approver is one of them."""
        if self.groups or self.subjects:
            if approver.subject.id not in self.subjects and self.groups.isdisjoint(approver.groups):
                return False
        elif self.when is None:
            return False  # Empty means nobody.
        return self.when is None or self.when(approver, matter)


class Step(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The circle that is asked, too, once an approval has waited for `after` seconds."""

    after: float
    circle: Circle


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlassTerms:
    """Who of those who ask may go through without an answer: members of `groups` who have proven one of `factors`
    within `max_age` seconds. What it leaves is good for `valid_for` seconds.

    `issuer` is the one whose groups these are; `None` where no configuration says which issuers there are.
    """

    groups: frozenset[str]
    factors: frozenset[str]
    max_age: float
    valid_for: float
    issuer: str | None = None

    def takes(self, subject: Subject, groups: Iterable[str]) -> bool:
        """Whether this subject, with these groups of its own token, is one of them."""
        return self.issuer in (None, subject.issuer) and not self.groups.isdisjoint(groups)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """Durations in seconds.

    `min` distinct persons approve, `deny_min` deny. The steps of `escalate` are in the order of their times. An
    approver must have proven one of `factors` within `max_age`; without factors nothing. What is given lasts for
    `valid_for` and is good for `uses`, `None` for as often as wanted; what was denied stays denied for `cooldown`.
    """

    circle: Circle
    escalate: tuple[Step, ...] = ()
    min: int = 1
    deny_min: int = 1
    factors: frozenset[str] = frozenset()
    max_age: float = 0.0
    reason_required: bool = False
    valid_for: float
    uses: int | None = None
    cooldown: float = 0.0
    break_glass: BreakGlassTerms | None = None

    def asks(self, approver: Approver, matter: Matter, *, waited: float) -> bool:
        """Whether this approver is asked once an approval has waited for so long."""
        return self.circle.takes(approver, matter) or any(
            step.after <= waited and step.circle.takes(approver, matter) for step in self.escalate
        )
