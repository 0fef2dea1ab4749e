"""The spans of decisions as OTLP, quickly: what repeats is encoded once and kept, and what varies is put between.

The rule kept here: the bytes are those of `otlp.encoded` for the same span, to the last one. What is kept is bounded,
whatever callers send.
"""

from typing import Final, TypeVar

from extauthz.record.brief import Brief, Reasoning
from extauthz.record.decision import DecisionRecord
from extauthz.record.line_parts import weight_of
from extauthz.record.otlp import (
    ENDED,
    LOCAL,
    PARENT,
    REMOTE,
    SPAN,
    SPAN_ID,
    STARTED,
    TRACE_ID,
    attributes,
    encoded,
    framed,
    head,
    links,
    number_head,
    sort,
    state,
    varint,
)
from extauthz.record.parent import Parent
from extauthz.record.span_attributes import attributes_of, caller, failure_of, outcome, rare, target
from extauthz.record.span_model import SERVER, SpanModel
from extauthz.values.decisions import Allow, Decision, Deny, RuleResult
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import Peer
from extauthz.values.span_ids import SpanIds

SPAN_NAME: Final = "authz.check"
_MOST: Final = 1_024
"""Fragments of a kind that are kept."""
_LONGEST: Final = 4_096
"""Bytes of a fragment that is kept."""
_LARGEST_PORT: Final = 65_535
_PLACES: Final = 509
"""Callers at connections that are remembered: each has one place, and leaves it to the next that belongs there."""
_SHORT: Final = 256
_SHORT_PATH: Final = 1_024
"""Bytes of a text from which on it is put in the long way."""
_SHORT_TARGET: Final = 1_024
"""Bytes up to which an outcome keeps what its last request was to: clients choose that."""

_TIME: Final = 8
"""Bytes of a time."""
_FRAMED: Final = 2_048
_FRAMES: Final = tuple([SPAN + varint(length) for length in range(_FRAMED)])
"""What stands in front of a span of so many bytes."""
# Found without a look-up where this is compiled.
_trace_id: Final = TRACE_ID
_span_id: Final = SPAN_ID
_parent: Final = PARENT
_local_started: Final = LOCAL + bytes([STARTED])
_remote_started: Final = REMOTE + bytes([STARTED])
_ended: Final = bytes([ENDED])
_EVER: Final = len(TRACE_ID) + 16 + len(SPAN_ID) + 8 + len(LOCAL) + 2 * (1 + _TIME)
"""Bytes of the ids, flags and times of a span that has no parent."""

_K = TypeVar("_K")
_V = TypeVar("_V")


def _heads(name: str, most: int = _SHORT) -> tuple[bytes, ...]:
    """What stands in front of a text that is the value of this attribute, by the number of its bytes."""
    return tuple(head(name, length) for length in range(most))


class DecisionSpans:
    """Encodes spans of decisions. Belongs to one thread."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[object, ...], _Outcome] = {}
        self._callers: dict[tuple[str | None, ...], bytes] = {}
        self._targets: dict[tuple[str, str, str, str], _Target] = {}
        self._surroundings: Final[list[_Surroundings | None]] = [None] * _PLACES
        self._decision_id = _heads("extauthz.decision_id")
        self._path = _heads("url.path", _SHORT_PATH)
        self._request_id = _heads("extauthz.request_id")
        self._peer = _heads("network.peer.address")
        self._client = _heads("client.address")
        self._workload = _heads("extauthz.workload")
        self._ports = tuple([number_head("network.peer.port", length) for length in (1, 2, 3)])

    @property
    def kept(self) -> int:
        """Fragments that are kept now."""
        around = sum([known is not None for known in self._surroundings])
        return len(self._outcomes) + len(self._callers) + len(self._targets) + around

    def put(
        self,
        pieces: list[bytes],
        record: Brief,
        trace_id: bytes,
        span_id: bytes,
        parent: Parent | None,
        tracestate: str,
    ) -> None:
        """Put the `Span` of a decision behind these pieces, with its tag and length."""
        try:
            self._put_quickly(pieces, record, trace_id, span_id, parent, tracestate)
        except (UnicodeEncodeError, IndexError):  # a text that is no Unicode, or a long one
            pieces.append(framed(SPAN, encoded(model_of(record.whole(), trace_id, span_id, parent, tracestate))))

    def _put_quickly(
        self,
        pieces: list[bytes],
        record: Brief,
        trace_id: bytes,
        span_id: bytes,
        parent: Parent | None,
        tracestate: str,
    ) -> None:
        """As `put`.

        Raises:
            UnicodeEncodeError: a text is no Unicode. Nothing was put.
            IndexError: it is long. Nothing was put.
        """
        reasoning, beside = record.reasoning, record.beside
        id_, path, given = record.decision_id.encode(), record.path.encode(), record.id.encode()
        outcome = self._outcome(reasoning)
        target = outcome.target
        if target is None or not target.is_of(record):
            target = self._target(record)
            outcome.target = target if target.is_short else None
        around = self._around(record.source, record.identity)
        behind = b"%b%b%b%b%b%b%b%b%b%b" % (  # compiled, that is the cheapest way to put bytes together
            around.caller,
            target.fragment,
            self._decision_id[len(id_)],
            id_,
            self._path[len(path)],
            path,
            self._request_id[len(given)] if given else b"",
            given,
            around.ends,
            self._rare(record, tracestate)
            if reasoning.may_rest or reasoning.risk or beside.detail is not None or tracestate
            else b"",
        )
        started, ended = record.started_ns, record.ended_ns
        if beside.waits:
            started, ended = started_of(record.whole()), ended_of(record.whole())
        tag, above, flags = b"", b"", _local_started
        if parent is not None:
            tag, above, flags = _parent, parent.span_id, _remote_started
        fragment = outcome.fragment
        length = _EVER + len(tag) + len(above) + len(fragment) + len(behind)
        pieces.append(
            b"%b%b%b%b%b%b%b%b%b%b%b%b"
            % (
                _FRAMES[length] if length < _FRAMED else SPAN + varint(length),
                _trace_id,
                trace_id,
                _span_id,
                span_id,
                tag,
                above,
                flags,
                started.to_bytes(_TIME, "little"),
                _ended,
                ended.to_bytes(_TIME, "little"),
                fragment,
            )
        )
        pieces.append(behind)

    def _rare(self, record: Brief, tracestate: str) -> bytes:
        """What few spans have, behind all else."""
        whole = record.whole()
        return attributes(rare(whole)) + state(tracestate) + links(links_of(whole.decision))

    def _outcome(self, reasoning: Reasoning) -> "_Outcome":
        """Name, kind, status, and what was decided. The results of rules are the same ones whenever they come out the
        same, so they are known by where they are; the entry holds on to them."""
        noted = reasoning.span
        if isinstance(noted, _Outcome):
            return noted
        decision, rules, revision = reasoning.decision, reasoning.rules, reasoning.revision
        status = decision.status if isinstance(decision, Deny) else 0
        key = (id(rules), type(decision), decision.rule, decision.reason, status, revision)
        known = self._outcomes.get(key)
        if known is None:
            fragment = sort(SPAN_NAME, SERVER, failure_of(decision)) + attributes(outcome(decision, rules, revision))
            known = _Outcome(rules, fragment)
            _put(self._outcomes, key, known, len(fragment))
        if len(known.fragment) <= _LONGEST:
            reasoning.span = known
        return known

    def _around(self, source: Peer, identity: Identity | None) -> "_Surroundings":
        """Who called, and from where."""
        # By the sum: both are often made one right after the other, at a distance that recurs. That is all that an
        # exclusive or would leave of them.
        place = (id(source) + id(identity)) % _PLACES
        known = self._surroundings[place]
        if known is not None and known.source is source and known.identity is identity:
            return known
        caller, ends, held, comes_again = b"", self._connection(source), len(source.certificate), True
        if identity is not None:
            user, client = identity.user, identity.client_ip.encode()
            caller = self._named(identity.workload, user)
            ends = b"%b%b%b" % (ends, self._client[len(client)], client) if client else ends
            held += 0 if user is None else weight_of(user)
            comes_again = not identity.credentials  # who brings a token comes as somebody new
        known = _Surroundings(source, identity, caller, ends)
        if comes_again and held + len(caller) + len(ends) <= _LONGEST:
            self._surroundings[place] = known
        return known

    def _named(self, workload: Workload | None, user: User | None) -> bytes:
        if workload is not None and user is None:
            id_ = workload.id.encode()
            if len(id_) < _SHORT:
                return self._workload[len(id_)] + id_
        key = (None if workload is None else workload.id, *((None, None) if user is None else (user.sub, user.iss)))
        fragment = self._callers.get(key)
        if fragment is None:
            fragment = attributes(caller(workload, user))
            _put(self._callers, key, fragment, len(fragment))
        return fragment

    def _connection(self, source: Peer) -> bytes:
        """The other end of the connection."""
        address, port = source.ip.encode(), source.port
        return b"%b%b%b" % (self._peer[len(address)] if address else b"", address, self._port(port) if port else b"")

    def _target(self, record: Brief) -> "_Target":
        key = (record.method, record.scheme, record.host, record.authority)
        known = self._targets.get(key)
        if known is None:
            known = _Target(*key, attributes(target(record.http())))
            _put(self._targets, key, known, len(known.fragment))
        return known

    def _port(self, port: int) -> bytes:
        if not 0 < port <= _LARGEST_PORT:
            return attributes({"network.peer.port": port})
        low, middle, high = port & 127, port >> 7 & 127, port >> 14
        if high:
            return self._ports[2] + (low | 128 | (middle | 128) << 8 | high << 16).to_bytes(3, "little")
        if middle:
            return self._ports[1] + (low | 128 | middle << 8).to_bytes(2, "little")
        return self._ports[0] + low.to_bytes(1, "little")


class _Surroundings:
    """A caller at a connection, by the very objects: what spans say of the caller, and of both other ends."""

    def __init__(self, source: Peer, identity: Identity | None, caller: bytes, ends: bytes) -> None:
        self.source: Final = source
        self.identity: Final = identity
        self.caller: Final = caller
        self.ends: Final = ends


class _Target:
    """What spans say of what a request is to."""

    def __init__(self, method: str, scheme: str, host: str, authority: str, fragment: bytes) -> None:
        self._method: Final = method
        self._scheme: Final = scheme
        self._host: Final = host
        self._authority: Final = authority
        self.fragment: Final = fragment
        self.is_short: Final = len(fragment) <= _SHORT_TARGET

    def is_of(self, record: Brief) -> bool:
        """Whether the request is to the same."""
        return (
            record.method == self._method
            and record.host == self._host
            and record.authority == self._authority
            and record.scheme == self._scheme
        )


class _Outcome:
    """What spans say of how decisions came out by these results of rules; `target` is what the last one was on."""

    def __init__(self, rules: tuple[RuleResult, ...], fragment: bytes) -> None:
        self._rules: Final = rules
        self.fragment: Final = fragment
        self.target: _Target | None = None


def _put(known: dict[_K, _V], key: _K, value: _V, length: int) -> None:
    """Keep it, unless it is long; when too many are kept, all are forgotten."""
    if length > _LONGEST:
        return
    if len(known) >= _MOST:
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
        links=links_of(record.decision),
        failure=failure_of(record.decision),
    )


def links_of(decision: Decision) -> tuple[SpanIds, ...]:
    """The spans of the decisions that have asked for the approvals which it rests on."""
    if not isinstance(decision, Allow):
        return ()
    asked = [grant.approval.origin.span for grant in decision.grants if grant.approval is not None]
    return tuple([span for text in asked if (span := SpanIds.read(text)) is not None])


def started_of(record: DecisionRecord) -> int:
    """When the span begins: with the Check, or with the first wait of one that was held and is decided anew."""
    return record.started_ns if not record.waits else min(record.started_ns, *(one.started_ns for one in record.waits))


def ended_of(record: DecisionRecord) -> int:
    """When it ends: with the answer, or when its record was written, for which the answer has waited."""
    return record.ended_ns if not record.waits else max(record.ended_ns, *(one.ended_ns for one in record.waits))
