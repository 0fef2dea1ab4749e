"""Records as rows of a table: the columns that a question is asked by, and the whole line beside them.

The rule kept here: columns are only ever added, at the end but for `record`. What a record does not have is null.
"""

from typing import Final, Literal

from extauthz.history.wanted import Record, subjects, traces
from extauthz.record.audit_line import DecisionLine
from extauthz.record.chain import link_of
from extauthz.record.instants import nanoseconds_of
from extauthz.record.life_lines import LifeLine

Kind = Literal["moment", "text", "texts", "whole", "real", "flag"]
"""Of the values in a column: nanoseconds since the epoch a text, texts, a whole number, a real one, a flag."""

Value = str | int | float | bool | list[str] | None

COLUMNS: Final[tuple[tuple[str, Kind], ...]] = (
    ("time", "moment"),
    ("event", "text"),
    ("decision_id", "text"),
    ("decision", "text"),
    ("reason", "text"),
    ("rule", "text"),
    ("status", "whole"),
    ("revision", "text"),
    ("duration_us", "real"),
    ("method", "text"),
    ("host", "text"),
    ("path", "text"),
    ("workload", "text"),
    ("subject", "text"),
    ("issuer", "text"),
    ("groups", "texts"),
    ("session", "text"),
    ("client_ip", "text"),
    ("risk_model", "text"),
    ("risk_score", "real"),
    ("demands", "texts"),
    ("approvals", "texts"),
    ("break_glass", "flag"),
    ("trace_ids", "texts"),
    ("by", "text"),
    ("challenge", "text"),
    ("approval", "text"),
    ("grant", "text"),
    ("factor", "text"),
    ("detail", "text"),
    ("writer", "text"),
    ("seq", "whole"),
    ("span_id", "text"),
    ("waited_us", "real"),
    ("record", "text"),
)
"""The columns with the kinds of their values. `event` is `decision` for a decision; `subject` and `issuer` are the user
of a decision, and whom an event is about; `record` is the line of the audit."""


def row_of(raw: bytes, record: Record) -> dict[str, Value]:
    """The row of a record, by column; what is missing is null."""
    row = _of_decision(record) if isinstance(record, DecisionLine) else _of_event(record)
    row["time"] = nanoseconds_of(record.time)
    line = raw.removesuffix(b"\n")
    link = link_of(line)
    if link is not None:
        row |= {"writer": link.writer, "seq": link.seq}
    row["record"] = line.decode("utf-8")
    return row


def _of_decision(record: DecisionLine) -> dict[str, Value]:
    workload, subject = subjects(record)
    request, identity = record.request or record.glimpse, record.identity
    user = None if identity is None else identity.user
    model = max(record.risk, key=lambda one: one.score, default=None)
    return {
        "event": "decision",
        "decision_id": record.decision_id,
        "decision": record.decision,
        "reason": record.reason,
        "rule": record.rule,
        "status": record.status,
        "revision": record.revision,
        "duration_us": record.duration_us,
        "method": None if request is None else request.method or None,
        "host": None if request is None else request.host or None,
        "path": None if request is None else request.path or None,
        "workload": workload,
        "subject": subject,
        "issuer": None if user is None else user.iss,
        "groups": [] if user is None else user.groups,
        "session": None if identity is None else identity.session,
        "client_ip": None if identity is None else identity.client_ip or None,
        "risk_model": None if model is None else model.model,
        "risk_score": None if model is None else model.score,
        "demands": record.demands,
        "approvals": record.approvals,
        "break_glass": record.break_glass,
        "trace_ids": list(traces(record)),
        "span_id": record.span_id or None,
        "waited_us": sum(wait.duration_us for wait in record.waits) if record.waits else None,
        "challenge": record.challenge or None,
        "detail": record.detail,
    }


def _of_event(record: LifeLine) -> dict[str, Value]:
    subject = record.subject
    return {
        "event": record.event,
        "decision_id": record.decision_id,
        "reason": record.reason,
        "rule": record.rule,
        "revision": record.revision,
        "duration_us": record.duration_us,
        "subject": None if subject is None else subject.sub,
        "issuer": None if subject is None else subject.iss or None,
        "trace_ids": record.traces,
        "by": record.by,
        "challenge": record.challenge,
        "approval": record.approval,
        "grant": record.grant,
        "factor": record.factor,
    }
