"""The rules that may speak to one request."""

from collections.abc import Sequence
from typing import Final

from extauthz.policy.captures import Given, captured
from extauthz.policy.plan import Plan
from extauthz.policy.rules import Candidate
from extauthz.policy.standing import Standing


class Candidates:
    """The rules that may speak to one request, as a plan, and the segments of its path.

    `standing` is what is remembered of requests that stand as this one does; `None` where nothing is.
    """

    def __init__(self, plan: Plan, segments: tuple[str, ...] = (), standing: Standing | None = None) -> None:
        self.plan: Final = plan
        self.segments: Final = segments
        self.standing: Final = standing

    @classmethod
    def of(cls, items: Sequence[Candidate]) -> "Candidates":
        """These, in the order of their names, with what they are said to have captured."""
        found = [(item.rule, Given(item.params)) for item in items]
        return cls(Plan(found, tuple([item.mode for item in items])))

    @property
    def items(self) -> tuple[Candidate, ...]:
        """Each rule with what its templates captured, in the order of their names."""
        plan = self.plan
        return tuple(
            [
                Candidate(rule, captured(layout, self.segments), mode)
                for rule, layout, mode in zip(plan.rules, plan.layouts, plan.modes, strict=True)
            ]
        )
