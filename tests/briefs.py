"""Briefs of records, for tests of what is written of both."""

from extauthz.record.brief import NOTHING, Beside, Brief, Reasoning
from extauthz.record.decision import DecisionRecord


def brief_of(record: DecisionRecord, reasoning: Reasoning | None = None) -> Brief:
    """What a record on a request says, in brief; by this reasoning, or by one of its own."""
    request = record.request
    assert request is not None
    assert request.http is not None
    beside = Beside(record.detail, record.trace, record.span, record.waits, record.challenge)
    is_plain = (record.detail, record.trace, record.span, record.waits, record.challenge) == (None, (), None, (), "")
    return Brief(
        record.decision_id,
        reasoning_of(record) if reasoning is None else reasoning,
        record.started_ns,
        record.ended_ns,
        request,
        request.http,
        record.identity,
        record.size,
        NOTHING if is_plain else beside,
    )


def reasoning_of(record: DecisionRecord) -> Reasoning:
    """How it was decided."""
    return Reasoning(
        record.revision,
        record.decision,
        record.rules,
        record.session,
        record.risk,
        record.views,
        record.asked,
        record.answers,
    )
