"""From a line of the audit to what the index keeps of it: what is looked for, and nothing beside.

The rule kept here: only what the line says in the clear is looked at; what is masked there is not in the index either.
"""

from dataclasses import dataclass

from extauthz.record.audit_line import DecisionLine
from extauthz.record.instants import nanoseconds_of
from extauthz.record.life_lines import LifeLine
from extauthz.record.trace_context import w3c


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """What one decision is found by. `at` is in nanoseconds since the epoch, `trace` is a trace id in hex; what there
    was not is `None`."""

    at: int
    decision_id: str
    decision: str
    reason: str
    rule: str | None
    subject: str | None
    workload: str | None
    host: str | None
    method: str | None
    path: str | None
    trace: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """What one event of life is found by; as `DecisionRow`."""

    at: int
    event: str
    decision_id: str | None
    challenge: str | None
    approval: str | None


def decision_row(line: DecisionLine) -> DecisionRow:
    """What is kept of a decision."""
    request, identity = line.request or line.glimpse, line.identity
    user = None if identity is None else identity.user
    workload = None if identity is None else identity.workload
    return DecisionRow(
        at=nanoseconds_of(line.time),
        decision_id=line.decision_id,
        decision=line.decision,
        reason=line.reason,
        rule=line.rule,
        subject=None if user is None else user.sub,
        workload=None if workload is None else workload.id,
        host=None if request is None else request.host or None,
        method=None if request is None else request.method or None,
        path=None if request is None else request.path or None,
        trace=trace_of(line),
    )


def event_row(line: LifeLine) -> EventRow:
    """What is kept of an event."""
    return EventRow(
        at=nanoseconds_of(line.time),
        event=line.event,
        decision_id=line.decision_id,
        challenge=line.challenge,
        approval=line.approval,
    )


def trace_of(line: DecisionLine) -> str | None:
    """The trace that the decision is part of; in lines of before they said so, that which the request came with (W3C
    Trace Context section 3.2)."""
    if line.trace_id or line.request is None:
        return line.trace_id or None
    headers = line.request.headers

    def only(name: str) -> str | None:
        values = headers.get(name)
        return values[0] if isinstance(values, list) and len(values) == 1 else None

    parent = w3c(only)
    return None if parent is None else parent.trace_id.hex()
