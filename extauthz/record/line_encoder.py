"""From a decision to the bytes of its audit line, at a small part of the cost of the general way.

The rule kept here: the bytes are those of the general way, `line_of` and the encoder of JSON, whatever the record
holds. What many records have in common comes from `fragments`; the texts that vary are looked at once, all together,
whether JSON writes any of them in another way; and each part of a record that is not usual takes the general way.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from extauthz.record.audit_line import AutoLine, SessionLine
from extauthz.record.decision import DECISION_NAMES, DecisionRecord
from extauthz.record.fact_lines import facts_line, risk_line
from extauthz.record.fragments import (
    NO_TRACE,
    ByIdentity,
    ByValue,
    HeaderShapes,
    Remembered,
    encoded,
    escaped,
    is_plain,
    text_of,
)
from extauthz.record.grant_lines import breaks_glass, grant_line
from extauthz.record.instants import rfc3339
from extauthz.record.masking import (
    LONGEST,
    Keep,
    headers_of,
    line_of,
    metadata_names,
    peer_line,
    query_of,
    rule_line,
    span_of,
    status_of,
    user_line,
    wait_line,
    workload_line,
)
from extauthz.record.session_hash import session_hash
from extauthz.record.trace_context import USUAL
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Hold, RuleResult
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.quoting import masked
from extauthz.values.request import HttpRequest, Peer, RequestView

_FAR: Final = 1e15
"""Microseconds from which on the two ways may write a number differently."""
_LONGEST_QUERY: Final = 512
# Parameters that all look like names, in a query that everybody reads in one way.
_PARAMETER: Final = r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,31}=[^&;%+=]+"
_USUAL_QUERY: Final = re.compile(rf"{_PARAMETER}(?:&{_PARAMETER})*\Z")
_VALUE: Final = re.compile(r"=[^&]*")

_Outcome = tuple[int, type[Decision], str, str | None, int]
"""The id of the rules, and decision, reason, rule and status."""
_Target = tuple[str, str, str, str]


class LineEncoder:
    """Encodes decisions, each as its line without the closing brace. For one thread."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._revision = ""
        self._second = "none yet"
        self._opening = ""
        self._outcomes: Remembered[_Outcome, tuple[str, str, object]] = Remembered()
        self._targets: ByValue[_Target] = ByValue(_target)
        self._queries: ByValue[str] = ByValue(_parameters)
        self._shapes = HeaderShapes(keep)
        self._peers: ByIdentity[Peer] = ByIdentity(_known_peer, lambda one: len(one.certificate))
        self._contexts: ByValue[tuple[tuple[str, str], ...]] = ByValue(
            lambda items: f',"context":{text_of(dict(items))}'
        )
        self._routes: ByIdentity[Mapping[str, Any]] = ByIdentity(lambda one: text_of(dict(one)))
        self._workloads: ByIdentity[Workload] = ByIdentity(_workload)
        self._users: ByIdentity[User] = ByIdentity(lambda one: text_of(user_line(one, keep)), _weight_of)
        self._sessions: ByValue[str] = ByValue(session_hash)
        self._kinds: ByValue[tuple[str, ...]] = ByValue(lambda kinds: text_of(sorted(set(kinds))))
        self._identities: ByIdentity[Identity] = ByIdentity(
            self._identity, lambda one: 0 if one.user is None else _weight_of(one.user)
        )

    def encode(self, record: DecisionRecord) -> bytes:
        """The line of this record. Each step is a part of every line, so none of them is a call that can be spared.

        Raises:
            UnicodeEncodeError: a text holds a lone surrogate.
        """
        request, identity, decision = record.request, record.identity, record.decision
        http = None if request is None else request.http
        if request is None or http is None:
            return text_of(line_of(record, self._keep))[:-1].encode()
        if record.revision != self._revision:
            self._revision = record.revision
            self._outcomes.clear()
        source, destination, path, time = request.source, request.destination, http.path, request.time
        headers, started, status = http.headers, record.started_ns, 200
        if type(decision) is not Allow:
            status = decision.status if type(decision) is Deny else status_of(decision, request)
        shape = self._shapes.of(headers.places) if type(headers) is OneLineEach else None
        values = () if shape is None else shape.clear(headers.lines)  # type: ignore[attr-defined]  # by the shape
        if shape is None or (trace := shape.trace) is None or record.trace or record.span is not None:
            traced = _traced(record)
        elif trace == NO_TRACE:
            traced = ""
        else:
            usual = USUAL(headers.lines[trace])  # type: ignore[attr-defined]  # by the shape
            traced = _traced(record) if usual is None else f'","trace_id":"{usual[1]}'
        ident, id_, protocol, source_ip = record.decision_id, http.id, http.protocol, source.ip
        destination_ip = destination.ip
        text = "".join((ident, id_, path, protocol, source_ip, destination_ip, *values))
        if (
            not text.isascii()
            or len(encoded(text)) != len(text) + 2
            or (len(text) > LONGEST and max(map(len, values), default=0) > LONGEST)
        ):
            shape, texts = None, (ident, id_, path, protocol, source_ip, destination_ip)
            ident, id_, path, protocol, source_ip, destination_ip = map(escaped, texts)
        outcome = (id(record.rules), type(decision), decision.reason, decision.rule, status)
        decided, came_out, _ = self._outcomes.get(outcome) or self._new(outcome, record.rules)
        digits = str(started)
        if digits[:-9] != self._second:
            digits = digits.zfill(10)
            self._second, self._opening = digits[:-9], '{"v":1,"time":"' + rfc3339(started)[:-10]
        took = (record.ended_ns - started) / 1000
        # Each piece begins with its comma, so that what is absent leaves nothing.
        return "".join(
            (
                self._opening,
                f'{digits[-9:]}Z","decision_id":"{ident}{traced}',
                decided,
                repr(took) if 0 <= took < _FAR else text_of(took),
                came_out,
                ""
                if type(decision) is Allow and not decision.grants and not decision.auto
                else _rests_on(decision, started),
                f',"request":{{"id":"{id_}",' if id_ else ',"request":{',
                self._targets[http.method, http.scheme, http.host, http.authority],
                path,
                '"',
                self._target_sent(http) if http.has_query or http.raw_query or http.raw_path != http.path else "",
                f',"protocol":"{protocol}"' if protocol else "",
                self._headers(headers) if shape is None else shape.filled(values),
                f',"size":{http.size}' if http.size != -1 else "",
                "}" if http.body is None else f',"body":{len(http.body)}}}',
                f',"request_time":[{time[0]},{time[1]}]' if time[0] or time[1] else "",
                f',"source":{{"ip":"{source_ip}","port":{source.port}}}'
                if source_ip and source.port and not source.principal and not source.certificate
                else self._peer(',"source":', source),
                f',"destination":{{"ip":"{destination_ip}","port":{destination.port}}}'
                if destination_ip and destination.port and not destination.principal and not destination.certificate
                else self._peer(',"destination":', destination)
                if destination_ip or destination.port or destination.principal or destination.certificate
                else "",
                f',"sni":{text_of(request.sni)}' if request.sni else "",
                self._contexts[tuple(request.context.items())] if request.context else "",
                self._told(request) if request.metadata or request.route_metadata else "",
                # Callers whose tokens are new with each request are; others come again as the very same.
                ""
                if identity is None
                else self._identity(identity)
                if identity.credentials
                else known[1]
                if (known := self._identities.known.get(id(identity))) is not None
                else self._identities.new(identity),
                ""
                if record.session is None
                and record.detail is None
                and not (record.views or record.asked or record.risk or record.waits or record.challenge)
                else _rest(record),
            )
        ).encode()

    def _new(self, outcome: _Outcome, rules: tuple[RuleResult, ...]) -> tuple[str, str, object]:
        """What lines have in common that came out alike, before the time that it took and behind it."""
        _, kind, reason, rule, status = outcome
        by = "" if rule is None else f',"rule":{text_of(rule)}'
        decided = (
            f'","decision":"{DECISION_NAMES[kind]}","reason":{text_of(reason)}{by},"status":{status}'
            f',"revision":{text_of(self._revision)},"duration_us":'
        )
        came_out = f',"rules":{text_of([rule_line(one) for one in rules])}' if rules else ""
        self._outcomes.put(outcome, (decided, came_out, rules), len(decided) + len(came_out))
        return decided, came_out, rules

    def _target_sent(self, http: HttpRequest) -> str:
        """The target as it was sent, where it is not the path, and what there is of a query."""
        raw = f',"raw_path":{text_of(http.raw_path)}' if http.raw_path != http.path else ""
        if http.has_query:
            raw += ',"has_query":true'
        sent = http.raw_query
        if not sent:
            return raw
        name, _, value = sent.partition("=")
        if value.isalnum() and "&" not in name and name in self._queries and name not in self._keep.query:
            return raw + self._queries[name]
        if len(sent) <= _LONGEST_QUERY and _USUAL_QUERY.match(sent):
            names = _VALUE.sub("", sent)
            if not self._keep.query or self._keep.query.isdisjoint(names.split("&")):
                return raw + self._queries[names]
        query, unnamed, error = query_of(http, self._keep)
        return "".join(
            (
                raw,
                f',"query":{text_of(query)}' if query else "",
                f',"unnamed":{unnamed}' if unnamed else "",
                f',"query_error":{text_of(error)}' if error is not None else "",
            )
        )

    def _headers(self, headers: Mapping[str, tuple[str, ...]]) -> str:
        return f',"headers":{text_of(headers_of(headers, self._keep))}' if headers else ""

    def _peer(self, name: str, peer: Peer) -> str:
        known = self._peers.of(peer)
        return name + known if known else ""

    def _told(self, request: RequestView) -> str:
        """What filters noted, and what the operator wrote at the route."""
        metadata, route = request.metadata, request.route_metadata
        noted = f',"metadata":{text_of(metadata_names(metadata))}' if metadata else ""
        return f'{noted},"route_metadata":{self._routes.of(route)}' if route else noted

    def _identity(self, identity: Identity) -> str:
        workload, user, session = identity.workload, identity.user, identity.session
        kinds = self._kinds[tuple([holder.partition(":")[0] for holder in identity.holders])]
        fields = "".join(
            (
                "" if workload is None else f',"workload":{self._workloads.of(workload)}',
                "" if user is None else f',"user":{self._users.of(user)}',
                "" if session is None else f',"session":"{self._sessions[session]}"',
                f',"holders":{kinds}' if identity.holders else "",
                f',"client_ip":"{escaped(identity.client_ip)}"' if identity.client_ip else "",
            )
        )
        return f',"identity":{{{fields[1:]}}}'


def _rest(record: DecisionRecord) -> str:
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


def _traced(record: DecisionRecord) -> str:
    """The trace and the span."""
    trace_id, span_id = span_of(record)
    traced = f'","trace_id":"{trace_id}' if trace_id else ""
    return f'{traced}","span_id":"{span_id}' if span_id else traced


def _rests_on(decision: Decision, started_ns: int) -> str:
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


def _workload(workload: Workload) -> str:
    name, source = workload.id, workload.verified_by
    if workload.attributes is None and is_plain(name + source):
        return f'{{"id":"{name}","verified_by":"{source}"}}'
    return text_of(workload_line(workload))


def _weight_of(user: User) -> int:
    """About how many characters the claims of a user hold, which are masked in the line."""
    return len(str(user.claims))


def _known_peer(peer: Peer) -> str:
    line = peer_line(peer)
    return "" if line is None else text_of(line)


def _names(field: str, names: list[str]) -> str:
    return field + text_of(names) if names else ""


def _target(target: _Target) -> str:
    method, scheme, host, authority = target
    return "".join(
        (
            f'"method":{text_of(method)},',
            f'"scheme":{text_of(scheme)},' if scheme else "",
            f'"host":{text_of(host)},',
            f'"authority":{text_of(authority)},' if authority else "",
            '"path":"',
        )
    )


def _parameters(names: str) -> str:
    counts: dict[str, int] = {}
    for name in names.split("&"):
        counts[name] = counts.get(name, 0) + 1
    return f',"query":{text_of(counts)}'
