"""Decisions and events to count."""

from record.making_records import NOW_NS

from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.life import LifeKind, LifeRecord
from extauthz.record.tallies import Tallies
from extauthz.values.decisions import Decision, RuleResult
from extauthz.values.span_ids import SpanIds

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def decided(
    decision: Decision,
    *,
    number: int = 1,
    took_ns: int = 200_000,
    at_ns: int = NOW_NS,
    flags: str = "01",
    span: SpanIds | None = None,
    rules: tuple[RuleResult, ...] = (),
    waits: tuple[Wait, ...] = (),
) -> DecisionRecord:
    return DecisionRecord(
        decision_id=f"d-{number}",
        revision="sha256:0",
        decision=decision,
        rules=rules,
        waits=waits,
        span=span,
        trace=(("traceparent", f"00-{TRACE}-{SPAN}-{flags}"),),
        started_ns=at_ns - took_ns,
        ended_ns=at_ns,
    )


def told(kind: LifeKind, *, rule: str | None = "p/pay", took: float | None = None, factor: str = "totp") -> LifeRecord:
    started = None if took is None else NOW_NS - round(took * 1e9)
    return LifeRecord(kind=kind, at_ns=NOW_NS, rule=rule, factor=factor, started_ns=started)


def count(tallies: Tallies, *records: DecisionRecord | LifeRecord) -> None:
    for record in records:
        match record:
            case DecisionRecord():
                tallies.decided(
                    record.decision,
                    decision_id=record.decision_id,
                    rules=record.rules,
                    waits=record.waits,
                    request=record.request,
                    trace=record.trace,
                    span=record.span,
                    started_ns=record.started_ns,
                    ended_ns=record.ended_ns,
                )
            case LifeRecord():
                tallies.told(record)
