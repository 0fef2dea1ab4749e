"""The form of a life event in the audit: one JSON object a line, told from a decision's by its `event`.

The rules kept here: fields, kinds of events and kinds of details are only ever added, and a reader takes those that it
does not know as they are; and texts lose what they quote of a request.
"""

from typing import Any, Literal

import msgspec

from extauthz.record.audit_line import VERSION
from extauthz.record.instants import rfc3339
from extauthz.record.life import LifeRecord
from extauthz.values.quoting import masked


class SubjectLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom it is about: the `sub` at an issuer, or a SPIFFE ID alone."""

    sub: str
    iss: str = ""


class LifeLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event, of one of the kinds of `life` or, in the file of a newer version, of another one.

    `time` is RFC 3339 in UTC with nanoseconds, `duration_us` how long what took time did.

    `traces` are the trace ids of the decisions that it belongs to, in hex (W3C Trace Context section 3.2.2.3).
    `writer`, `seq` and `hash` are its place in the writer's chain, see `chain`.
    """

    v: Literal[1]
    event: str
    time: str
    by: str
    subject: SubjectLine | None = None
    rule: str | None = None
    revision: str | None = None
    decision_id: str | None = None
    challenge: str | None = None
    approval: str | None = None
    grant: str | None = None
    factor: str | None = None
    reason: str | None = None
    details: dict[str, Any] = {}
    traces: list[str] = []
    duration_us: float | None = None
    writer: str = ""
    seq: int = 0
    hash: str = ""


def life_line_of(record: LifeRecord) -> LifeLine:
    """The audit line of a life event."""
    subject, started = record.subject, record.started_ns
    return LifeLine(
        v=VERSION,
        event=record.kind,
        time=rfc3339(record.at_ns),
        by=record.by,
        subject=None if subject is None else SubjectLine(sub=subject.id, iss=subject.issuer),
        rule=record.rule,
        revision=record.revision,
        decision_id=record.decision_id,
        challenge=record.challenge,
        approval=record.approval,
        grant=record.grant,
        factor=record.factor,
        reason=None if record.reason is None else masked(record.reason),
        details=dict(record.details),
        traces=[f"{link.trace_id:032x}" for link in record.links],
        duration_us=None if started is None else (record.at_ns - started) / 1000,
    )
