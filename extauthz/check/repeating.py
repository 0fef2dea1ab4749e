"""What decisions that come again are answered with, and how they are recorded and counted.

The rule kept here: what is kept takes bounded room, and is of policies and of who calls alone: no text of a request is
kept but what the last one was to, where that is short (who writes lines and spans notes it on `Reasoning`), nothing
that was looked up for one, and no grant. The decision on a caller who comes again is the same object. No set of
policies is held: one that was replaced goes piece by piece, and not with the next answer.
"""

from typing import Final

from extauthz.check.case import Case
from extauthz.check.recording import reasoning_of
from extauthz.policy.asking import Inquiry
from extauthz.record.brief import Reasoning
from extauthz.record.tallies import Alike
from extauthz.values.decisions import Allow, Evaluation
from extauthz.values.grants import Facts
from extauthz.wire.fragments import Holed
from extauthz.wire.mutations import is_plain

_PLACES: Final = 4093
"""Each has one, and leaves it to the next that belongs there."""
_LONGEST: Final = 512
"""Bytes of an answer in one piece."""


class Kept:
    """What is kept of a decision: its reasoning, how it is counted where that is done, and what was `said`, with holes
    for the decision's id: of an allow that is usual, and of a request that is plain."""

    def __init__(self, case: Case, evaluation: Evaluation, said: Holed | None, alike: Alike | None) -> None:
        self.evaluation: Final[Evaluation] = evaluation
        self.revision: Final[str] = case.ruled.revision
        self.settable: Final[frozenset[str]] = case.ruled.settable
        self.facts: Final[Facts] = case.facts
        self.inquiry: Final[Inquiry] = case.inquiry
        self.size: Final = len(case.asked.decision_id)
        self.said: Final[Holed | None] = said
        self.reasoning: Final = reasoning_of(case.policies, evaluation, case.facts, case.inquiry)
        self.alike: Final[Alike | None] = alike


class Repeating:
    """Decisions that were answered last. May be shared by threads."""

    def __init__(self) -> None:
        self._places: Final[list[Kept | None]] = [None] * _PLACES

    def known(self, case: Case, evaluation: Evaluation) -> Kept | None:
        """What the case is answered with, if such a one was before."""
        one, request, ruled = self._places[id(evaluation) % _PLACES], case.request, case.ruled
        if (
            one is not None
            and one.evaluation is evaluation
            and one.revision is ruled.revision
            and one.settable is ruled.settable
            and one.facts is case.facts
            and one.inquiry is case.inquiry
            and one.size == len(case.asked.decision_id)
            and request is not None
            and is_plain(request.http)
        ):
            return one
        return None

    def let_go(self) -> None:
        """Know nothing any more: what decided until now need not stay for it."""
        for place in range(_PLACES):
            self._places[place] = None

    def learn(self, one: Kept) -> None:
        """Remember it, if it may come again."""
        decision, said = one.evaluation.decision, one.said
        if (
            said is not None
            and isinstance(decision, Allow)
            and not decision.grants
            and not one.evaluation.audit_required
            and _is_of_policies(one.reasoning)
            and _is_local(one.facts)
            and len(said[0]) <= _LONGEST
        ):
            self._places[id(one.evaluation) % _PLACES] = one


def _is_of_policies(reasoning: Reasoning) -> bool:
    """Whether nothing of it can be of a request, as texts of errors may be."""
    errors = [one for one in reasoning.rules if one.error is not None]
    return not (errors or reasoning.risk or reasoning.views or reasoning.asked)


def _is_local(facts: Facts) -> bool:
    """Whether nothing was looked up."""
    return not (
        facts.grants
        or facts.session
        or facts.device
        or facts.geo
        or facts.reported
        or facts.answers
        or facts.attributes
        or facts.unfetched
    )
