"""The rules that may speak to one request."""

from collections.abc import Sequence
from typing import Final

from extauthz.policy.captures import Given, captured
from extauthz.policy.plan import Plan
from extauthz.policy.rules import Candidate
from extauthz.policy.standing import Standing
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView


def segments_of(request: RequestView) -> tuple[str, ...]:
    """Those of its path, of which rules capture some; none of a TCP check."""
    return () if request.http is None else request.http.segments


class Candidates:
    """The rules that may speak to one request, as a plan: the same for all requests that stand alike.

    `standing` is what is remembered of these; `None` where nothing is. `looks_up` is whether anything has to be looked
    up for any caller.
    """

    def __init__(self, plan: Plan, standing: Standing | None = None) -> None:
        self.plan: Final = plan
        self.standing: Final = standing
        self.looks_up: Final = bool(plan.needs)

    @classmethod
    def of(cls, items: Sequence[Candidate]) -> "Candidates":
        """These, in the order of their names, with what they are said to have captured."""
        found = [(item.rule, Given(item.params)) for item in items]
        return cls(Plan(found, tuple([item.mode for item in items])))

    def is_of(self, identity: Identity) -> bool:
        """Whether what is remembered is of this very caller."""
        return self.standing is not None and self.standing.identity is identity

    def items(self, request: RequestView) -> tuple[Candidate, ...]:
        """Each rule with what its templates captured of the path of a request, in the order of their names."""
        plan, segments = self.plan, segments_of(request)
        return tuple(
            [
                Candidate(rule, captured(layout, segments), mode)
                for rule, layout, mode in zip(plan.rules, plan.layouts, plan.modes, strict=True)
            ]
        )
