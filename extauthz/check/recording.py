"""What is recorded of a Check that was decided."""

from typing import Final

from extauthz.check.case import Case
from extauthz.policy.asking import NOTHING_ASKED, Inquiry
from extauthz.policy.policy_set import PolicySet
from extauthz.record.brief import NOTHING, Beside, Brief, Decided, Reasoning
from extauthz.record.decision import DecisionRecord
from extauthz.values.decisions import Evaluation
from extauthz.values.grants import Facts
from extauthz.values.span_ids import SpanIds
from extauthz.wire.glimpse import glimpse

_Record: Final = DecisionRecord
"""As a constant of this module it is at hand; what is imported is looked up each time."""


def reasoning_of(
    policies: PolicySet, evaluation: Evaluation, facts: Facts, inquiry: Inquiry = NOTHING_ASKED
) -> Reasoning:
    """How it was decided by these policies."""
    return Reasoning(
        policies.revision,
        evaluation.decision,
        evaluation.rules,
        facts.session,
        evaluation.risk,
        evaluation.views,
        inquiry.meanings,
        facts.answers,
    )


def record_of(
    case: Case, reasoning: Reasoning, detail: str | None, span: SpanIds | None, challenge: str, ended_ns: int
) -> Decided:
    """The record of a decision that was made by `reasoning`; the rest is as `DecisionRecord` has it."""
    asked, request = case.asked, case.request
    waits, trace = case.waits or asked.waits, asked.trace
    http = None if request is None else request.http
    if request is not None and http is not None:
        beside = NOTHING
        if detail is not None or trace or span is not None or waits or challenge:
            beside = Beside(detail, trace, span, waits, challenge)
        return Brief(
            asked.decision_id,
            reasoning,
            asked.started_ns,
            ended_ns,
            request,
            http,
            case.identity,
            len(asked.payload),
            beside,
        )
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
        trace,
        span,
        waits,
        challenge,
        0 if unread else len(payload),
    )
