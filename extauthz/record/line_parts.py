"""The parts of an audit line that few lines have, or that many have in common and are made once.

The rule kept here: each part is what `line_of` and the encoder of JSON make of the same values, behind the comma that
parts it from what comes before.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from extauthz.record.audit_line import AutoLine, SessionLine
from extauthz.record.decision import DecisionRecord
from extauthz.record.fact_lines import facts_line, risk_line
from extauthz.record.fragments import encoded, text_of
from extauthz.record.grant_lines import breaks_glass, grant_line
from extauthz.record.masking import (
    Keep,
    headers_of,
    metadata_names,
    peer_line,
    query_of,
    span_of,
    wait_line,
    workload_line,
)
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Hold
from extauthz.values.headers import Headers
from extauthz.values.identity import User, Workload
from extauthz.values.quoting import masked
from extauthz.values.request import HttpRequest, Peer

_LONGEST_QUERY: Final = 512
# Parameters that all look like names, in a query that everybody reads in one way.
_PARAMETER: Final = r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,31}=[^&;%+=]+"
_USUAL_QUERY: Final = re.compile(rf"{_PARAMETER}(?:&{_PARAMETER})*\Z")
_VALUE: Final = re.compile(r"=[^&]*")


def traced(record: DecisionRecord) -> str:
    """The trace and the span, behind the id of the decision and without the quotes at either end."""
    trace_id, span_id = span_of(record)
    trace = f'","trace_id":"{trace_id}' if trace_id else ""
    return f'{trace}","span_id":"{span_id}' if span_id else trace


def rests_on(decision: Decision, started_ns: int) -> str:
    """What a decision asks for, waits for, or rests on."""
    match decision:
        case Allow(grants=grants, auto=auto):
            given = text_of([grant_line(grant, started_ns / 1e9) for grant in grants])
            automatic = text_of([AutoLine(rule=one.rule, reason=one.reason) for one in auto])
            return "".join(
                (
                    f',"grants":{given}' if grants else "",
                    f',"auto":{automatic}' if auto else "",
                    ',"break_glass":true' if any(map(breaks_glass, grants)) else "",
                )
            )
        case Challenge(demands=demands):
            return _names(',"demands":', [demand.rule for demand in demands])
        case Hold(demands=held, approvals=approvals):
            demanded = _names(',"demands":', [demand.rule for demand in held])
            return demanded + _names(',"approvals":', list(approvals))
        case Deny():
            return ""


def usual_names(query: str) -> str | None:
    """The names in a query, with `&` between, if everybody reads it in one way and all of them look like names."""
    return _VALUE.sub("", query) if len(query) <= _LONGEST_QUERY and _USUAL_QUERY.match(query) else None


def parameters(names: str) -> bytes:
    """The parameters of a query with these names, of which none is kept."""
    counts: dict[str, int] = {}
    for name in names.split("&"):
        counts[name] = counts.get(name, 0) + 1
    return b',"query":%b' % encoded(counts)


def parameters_in_full(http: HttpRequest, keep: Keep) -> str:
    """The parameters of any query."""
    query, unnamed, error = query_of(http, keep)
    return "".join(
        (
            f',"query":{text_of(query)}' if query else "",
            f',"unnamed":{unnamed}' if unnamed else "",
            f',"query_error":{text_of(error)}' if error is not None else "",
        )
    )


def headers_in_full(headers: Headers, keep: Keep) -> str:
    """Any headers."""
    return f',"headers":{text_of(headers_of(headers, keep))}' if headers else ""


def lengths(length: int, body: bytes | None) -> str:
    """How long a request and its body are, where that is known."""
    size = f',"size":{length}' if length != -1 else ""
    return size if body is None else f'{size},"body":{len(body)}'


def long_duration(took_ns: int) -> str:
    """Microseconds, of any time: what is compiled divides large numbers less exactly."""
    return text_of(took_ns / 1000)


def noted(metadata: Mapping[str, Any]) -> str:
    """The names of what filters noted."""
    return f',"metadata":{text_of(metadata_names(metadata))}'


def workload_part(workload: Workload) -> bytes:
    """A workload, without the name of the field."""
    return encoded(workload_line(workload))


def weight_of(user: User | None) -> int:
    """About how many characters the claims of a user hold, which are masked in the line."""
    return 0 if user is None else len(str(user.claims))


def peer_part(peer: Peer) -> bytes:
    """One end of the connection, without the name of the field."""
    line = peer_line(peer)
    return b"" if line is None else encoded(line)


def rest(record: DecisionRecord) -> str:
    """What few records have."""
    ages, risk, detail, challenge = record.session, record.risk, record.detail, record.challenge
    facts, waits = facts_line(record), [wait_line(one, record.started_ns) for one in record.waits]
    return "".join(
        (
            "" if ages is None else f',"session":{text_of(SessionLine(age_s=ages.age, idle_s=ages.idle))}',
            "" if facts is None else f',"facts":{text_of(facts)}',
            f',"risk":{text_of([risk_line(one) for one in risk])}' if risk else "",
            f',"challenge":{text_of(challenge)}' if challenge else "",
            f',"waits":{text_of(waits)}' if waits else "",
            "" if detail is None else f',"detail":{text_of(masked(detail))}',
        )
    )


def _names(field: str, names: list[str]) -> str:
    return field + text_of(names) if names else ""
