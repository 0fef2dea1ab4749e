"""What is recorded of a Check that was decided.

Not compiled: to read a field of a struct takes compiled code five times what it takes the interpreter.
"""

from extauthz.check.case import Case
from extauthz.record.decision import DecisionRecord
from extauthz.values.decisions import Evaluation
from extauthz.values.span_ids import SpanIds
from extauthz.wire.glimpse import glimpse


def record_of(
    case: Case, evaluation: Evaluation, detail: str | None, span: SpanIds | None, challenge: str, ended_ns: int
) -> DecisionRecord:
    """The record of a decision that was made by `evaluation`; the rest is as `DecisionRecord` has it."""
    asked, request, facts = case.asked, case.request, case.facts
    unread = request is None
    # In the order of the fields: by their names, of which these are too many for a call, Python builds a dictionary.
    return DecisionRecord(
        asked.decision_id,
        case.policies.revision,
        evaluation.decision,
        asked.started_ns,
        ended_ns,
        evaluation.rules,
        request,
        glimpse(asked.payload) if unread and asked.payload else None,
        case.identity,
        facts.session,
        evaluation.risk,
        evaluation.views,
        case.inquiry.meanings,
        facts.answers,
        detail,
        asked.trace,
        span,
        case.waits or asked.waits,
        challenge,
        0 if unread else len(asked.payload),
    )
