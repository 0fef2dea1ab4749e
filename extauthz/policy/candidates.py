"""The rules that may speak to one request."""

from collections.abc import Sequence

import msgspec

from extauthz.policy.captures import captured
from extauthz.policy.plan import Layout, Params, Plan
from extauthz.policy.rules import Candidate


class Candidates(msgspec.Struct, frozen=True):
    """The rules that may speak to one request, as a plan, and the segments of its path.

    `given` is what was captured, one for each rule, where that is told and not read from the segments.
    """

    plan: Plan
    segments: tuple[str, ...] = ()
    given: tuple[Params, ...] | None = None

    @classmethod
    def of(cls, items: Sequence[Candidate]) -> "Candidates":
        """These, in the order of their names."""
        found = [(item.rule, number) for number, item in enumerate(items)]
        return cls(Plan(found, tuple(item.mode for item in items)), given=tuple(item.params for item in items))

    @property
    def items(self) -> tuple[Candidate, ...]:
        """Each rule with what its templates captured, in the order of their names."""
        plan = self.plan
        return tuple(
            Candidate(rule, self.captured(layout), mode)
            for rule, layout, mode in zip(plan.rules, plan.layouts, plan.modes, strict=True)
        )

    def read(self, plan: Plan) -> list[Params]:
        """What was captured that expressions of `plan` read; it is this one, or what is left of it."""
        found = []
        for layout in plan.captures:
            found.append(self.captured(layout))  # noqa: PERF401 - a comprehension is a call of its own
        return found

    def captured(self, layout: Layout) -> Params:
        """What the templates of a rule with this layout captured."""
        if isinstance(layout, tuple):
            return captured(layout, self.segments)
        assert self.given is not None  # noqa: S101 - numbers are layouts of what was given
        return self.given[layout]
