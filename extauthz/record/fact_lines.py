"""From the facts that a decision rests on, and its risk, to their part of the audit line.

The rule kept here: what tells of the address is written in the clear, as the address is; so are counts, and whether a
key came before, under the words of the policy that asks. Numbers of requests, and what attribute sources tell, are
masked: of these the names stay.
"""

from collections.abc import Mapping
from typing import Any, Final

from extauthz import cel
from extauthz.policy.context import DEVICE, GEO, REPORTED, TRAVEL
from extauthz.record.audit_line import DeviceLine, FactsLine, RiskLine, SignalLine, TravelLine
from extauthz.record.decision import DecisionRecord
from extauthz.record.session_hash import session_hash
from extauthz.values.assessment import Assessment
from extauthz.values.quoting import masked

_DIGITS: Final = 9
"""Of seconds, after the point: what CEL has."""


def facts_line(record: DecisionRecord) -> FactsLine | None:
    """The facts that conditions have read; `None` if there are none."""
    views = record.views
    answers = {meaning: record.answers[one] for meaning, one in record.asked.items() if one in record.answers}
    line = FactsLine(
        geo=_fields(GEO, views.get("geo")),
        travel=_travel(_fields(TRAVEL, views.get("travel"))),
        device=_device(_fields(DEVICE, views.get("device"))),
        reported=_fields(REPORTED, views.get("reported")),
        attributes={source: sorted(map(str, told)) for source, told in views.get("attributes", {}).items()},
        rates={meaning: count for meaning, count in answers.items() if record.asked[meaning].kind == "rate"},
        seen={meaning: was for meaning, was in answers.items() if record.asked[meaning].kind == "seen"},
    )
    return None if line == FactsLine() else line


def risk_line(assessment: Assessment) -> RiskLine:
    """What a risk model came to, with every signal; errors lose what they quote of the request."""
    return RiskLine(
        model=assessment.model,
        score=assessment.score,
        level=assessment.level,
        signals=[
            SignalLine(
                name=one.name,
                state=one.state,
                weight=one.weight,
                counted=one.counted,
                reason=one.reason,
                age_s=one.age,
                error=None if one.error is None else masked(one.error),
            )
            for one in assessment.heard
        ],
    )


def _fields(kind: cel.StructType, view: object) -> dict[str, Any] | None:
    """The fields that are set; `None` where nobody looked, or nobody could."""
    if view is None:
        return None
    found = {}
    for name in kind.fields:
        try:
            value = getattr(view, name, cel.UNSET)
        except cel.EvalError:
            return None
        if value is not cel.UNSET:
            found[name] = _plain(value)
    return found


def _plain(value: object) -> object:
    """Times and spans as seconds."""
    if isinstance(value, cel.Timestamp | cel.Duration):
        return round(value.seconds + value.nanos / 1e9, _DIGITS)
    return value


def _travel(fields: Mapping[str, Any] | None) -> TravelLine | None:
    if fields is None:
        return None
    return TravelLine(
        distance_km=fields.get("distance_km"), speed_kmh=fields.get("speed_kmh"), since_s=fields.get("since")
    )


def _device(fields: Mapping[str, Any] | None) -> DeviceLine | None:
    if fields is None:
        return None
    name = fields.get("id")
    return DeviceLine(
        id=None if name is None else session_hash(name), known=fields.get("known"), age_s=fields.get("age")
    )
