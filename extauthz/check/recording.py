"""What is recorded of a Check that was decided."""

from collections.abc import Mapping
from typing import Any, Final

from extauthz.check.case import Case
from extauthz.policy.asking import NOTHING_ASKED, Inquiry
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import DecisionRecord
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Decision, Evaluation, RuleResult
from extauthz.values.facts import Question
from extauthz.values.grants import Facts, SessionAges
from extauthz.values.span_ids import SpanIds
from extauthz.wire.glimpse import glimpse

_Record: Final = DecisionRecord
"""As a constant of this module it is at hand; what is imported is looked up each time."""


class Reasoning:
    """What records say of how it was decided: the same in all of which that is the very same."""

    def __init__(
        self, policies: PolicySet, evaluation: Evaluation, facts: Facts, inquiry: Inquiry = NOTHING_ASKED
    ) -> None:
        self.revision: Final[str] = policies.revision
        self.decision: Final[Decision] = evaluation.decision
        self.rules: Final[tuple[RuleResult, ...]] = evaluation.rules
        self.session: Final[SessionAges | None] = facts.session
        self.risk: Final[tuple[Assessment, ...]] = evaluation.risk
        self.views: Final[Mapping[str, Any]] = evaluation.views
        self.asked: Final[Mapping[str, Question]] = inquiry.meanings
        self.answers: Final[Mapping[Question, Any]] = facts.answers


def record_of(
    case: Case, reasoning: Reasoning, detail: str | None, span: SpanIds | None, challenge: str, ended_ns: int
) -> DecisionRecord:
    """The record of a decision that was made by `reasoning`; the rest is as `DecisionRecord` has it."""
    asked, request = case.asked, case.request
    payload, unread = asked.payload, request is None
    # In the order of the fields: by their names, of which these are too many for a call, Python builds a dictionary.
    return _Record(
        asked.decision_id,
        reasoning.revision,
        reasoning.decision,
        asked.started_ns,
        ended_ns,
        reasoning.rules,
        request,
        glimpse(payload) if unread and payload else None,
        case.identity,
        reasoning.session,
        reasoning.risk,
        reasoning.views,
        reasoning.asked,
        reasoning.answers,
        detail,
        asked.trace,
        span,
        case.waits or asked.waits,
        challenge,
        0 if unread else len(payload),
    )
