"""The spans of decisions as OTLP, quickly: what repeats is encoded once and kept, and what varies is put between.

The rule kept here: the bytes are those of `otlp.encoded` for the same span, to the last one. What is kept is bounded,
whatever callers send.
"""

from typing import Final, TypeVar

from extauthz.record.decision import DecisionRecord
from extauthz.record.otlp import attributes, head, ids, sort, state, text, times
from extauthz.record.span_attributes import attributes_of, caller, failure_of, outcome, rare, target
from extauthz.record.span_model import SERVER, SpanModel
from extauthz.record.trace_context import Parent
from extauthz.values.decisions import Allow, Decision, Deny, RuleResult
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest

SPAN_NAME: Final = "authz.check"
_MOST: Final = 1_024
"""Fragments of a kind that are kept."""
_LONGEST: Final = 4_096
"""Bytes of a fragment that is kept."""
_PORTS: Final = 8_192
_SHORT: Final = 256

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Heads:
    """What stands in front of a text of so many bytes that is the value of one attribute."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._short = tuple(head(name, length) for length in range(_SHORT))

    def of(self, length: int) -> bytes:
        return self._short[length] if length < _SHORT else head(self._name, length)


class DecisionSpans:
    """Encodes spans of decisions. Belongs to one thread."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[object, ...], tuple[tuple[RuleResult, ...], bytes]] = {}
        self._callers: dict[tuple[str | None, ...], bytes] = {}
        self._targets: dict[tuple[str, ...], bytes] = {}
        self._ports: dict[int, bytes] = {}
        self._decision_id = _Heads("extauthz.decision_id").of
        self._path = _Heads("url.path").of
        self._request_id = _Heads("extauthz.request_id").of
        self._peer = _Heads("network.peer.address").of
        self._client = _Heads("client.address").of

    @property
    def kept(self) -> int:
        """Fragments that are kept now."""
        return len(self._outcomes) + len(self._callers) + len(self._targets) + len(self._ports)

    def encoded(
        self, record: DecisionRecord, trace_id: bytes, span_id: bytes, parent: Parent | None, tracestate: str
    ) -> bytes:
        """The content of the `Span` of a decision."""
        decision, request, identity = record.decision, record.request, record.identity
        decision_id = text(record.decision_id)
        pieces = [
            ids(trace_id, span_id, b"", remote=False)
            if parent is None
            else ids(trace_id, span_id, parent.span_id, remote=True),
            times(started_of(record), ended_of(record)),
            self._outcome(decision, record.rules, record.revision),
            b"" if identity is None else self._caller(identity),
            b"" if request is None or request.http is None else self._target(request.http),
            self._decision_id(len(decision_id)),
            decision_id,
        ]
        if request is not None:
            if (http := request.http) is not None:
                path = text(http.path)
                pieces += (self._path(len(path)), path)
                if http.id:
                    id_ = text(http.id)
                    pieces += (self._request_id(len(id_)), id_)
            if (source := request.source).ip:
                address = text(source.ip)
                pieces += (self._peer(len(address)), address)
            if source.port:
                pieces.append(self._port(source.port))
        if identity is not None and identity.client_ip:
            client = text(identity.client_ip)
            pieces += (self._client(len(client)), client)
        if _may_be_rare(record):
            pieces.append(attributes(rare(record)))
        if tracestate:
            pieces.append(state(tracestate))
        return b"".join(pieces)

    def _outcome(self, decision: Decision, rules: tuple[RuleResult, ...], revision: str) -> bytes:
        """Name, kind, status, and what was decided. The results of rules are the same ones whenever they come out the
        same, so they are known by where they are; the entry holds on to them."""
        status = decision.status if isinstance(decision, Deny) else 0
        key = (id(rules), type(decision), decision.rule, decision.reason, status, revision)
        known = self._outcomes.get(key)
        if known is None:
            fragment = sort(SPAN_NAME, SERVER, failure_of(decision)) + attributes(outcome(decision, rules, revision))
            known = (rules, fragment)
            _put(self._outcomes, key, known, len(fragment))
        return known[1]

    def _caller(self, identity: Identity) -> bytes:
        workload, user = identity.workload, identity.user
        key = (None if workload is None else workload.id, *((None, None) if user is None else (user.sub, user.iss)))
        fragment = self._callers.get(key)
        if fragment is None:
            fragment = attributes(caller(workload, user))
            _put(self._callers, key, fragment, len(fragment))
        return fragment

    def _target(self, http: HttpRequest) -> bytes:
        key = (http.method, http.scheme, http.host, http.authority)
        fragment = self._targets.get(key)
        if fragment is None:
            fragment = attributes(target(http))
            _put(self._targets, key, fragment, len(fragment))
        return fragment

    def _port(self, port: int) -> bytes:
        fragment = self._ports.get(port)
        if fragment is None:
            fragment = attributes({"network.peer.port": port})
            _put(self._ports, port, fragment, 0, most=_PORTS)
        return fragment


def _may_be_rare(record: DecisionRecord) -> bool:
    decision = record.decision
    if record.risk or record.detail is not None:
        return True
    return bool(decision.grants or decision.auto) if isinstance(decision, Allow) else not isinstance(decision, Deny)


def _put(known: dict[_K, _V], key: _K, value: _V, length: int, *, most: int = _MOST) -> None:
    """Keep it, unless it is long; when too many are kept, all are forgotten."""
    if length > _LONGEST:
        return
    if len(known) >= most:
        known.clear()
    known[key] = value


def model_of(record: DecisionRecord, trace_id: bytes, span_id: bytes, parent: Parent | None, state: str) -> SpanModel:
    """The span of a decision, with these ids; `state` is its `tracestate`."""
    return SpanModel(
        name=SPAN_NAME,
        kind=SERVER,
        trace_id=trace_id,
        span_id=span_id,
        parent=b"" if parent is None else parent.span_id,
        remote=parent is not None,
        state=state,
        started_ns=started_of(record),
        ended_ns=ended_of(record),
        attributes=attributes_of(record),
        failure=failure_of(record.decision),
    )


def started_of(record: DecisionRecord) -> int:
    """When the span begins: with the Check, or with the first wait of one that was held and is decided anew."""
    return record.started_ns if not record.waits else min(record.started_ns, *(one.started_ns for one in record.waits))


def ended_of(record: DecisionRecord) -> int:
    """When it ends: with the answer, or when its record was written, for which the answer has waited."""
    return record.ended_ns if not record.waits else max(record.ended_ns, *(one.ended_ns for one in record.waits))
