"""From a decision to the bytes of its audit line, at a small part of the cost of the general way.

The rule kept here: the bytes are those of the general way, `line_of` and the encoder of JSON, whatever the record
holds. What many records have in common is put together once, and known again by the very objects that it is of; the
texts that vary are looked at once, all together, whether JSON writes any of them in another way; and each part of a
record that is not usual is made by `line_parts`.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extauthz.record.brief import Brief, Reasoning
from extauthz.record.fragments import ByIdentity, ByValue, Remembered, encoded, escaped
from extauthz.record.header_shapes import NO_TRACE, ODD_TRACE, HeaderShape, HeaderShapes
from extauthz.record.instants import rfc3339
from extauthz.record.line_commons import BEGUN, BEGUN_WITHOUT_ID, BEHIND_ID, Outcome, Surroundings, Target
from extauthz.record.line_parts import (
    headers_in_full,
    lengths,
    long_duration,
    noted,
    parameters,
    parameters_in_full,
    peer_part,
    rest,
    rests_on,
    traced,
    usual_names,
    weight_of,
    workload_part,
)
from extauthz.record.masking import LONGEST, Keep, status_of, user_line
from extauthz.record.session_hash import session_hash
from extauthz.record.usual_traces import trace_of, usual
from extauthz.values.decisions import Allow, Challenge, Deny
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.native import i64
from extauthz.values.request import Peer

# Found without a look-up where this is compiled.
_OneLineEach: Final = OneLineEach
_encode_into: Final = msgspec.json.Encoder().encode_into
_FAR: Final = 1_000_000_000_000_000
"""Nanoseconds from which on the two ways may write microseconds differently."""
_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000
_ONES: Final = tuple([str(number).encode() for number in range(1000)])
_THREE: Final = tuple([f"{number:03d}".encode() for number in range(1000)])
"""The numbers below a thousand, and with zeroes in front."""
_THOUSANDTHS: Final = tuple([str(number / 1000)[1:].encode() for number in range(1000)])
"""What stands behind a whole number, by the thousandths."""
_PLACES: Final = 509
"""Callers at connections that are remembered: each has one place, and leaves it to the next that belongs there."""
_LARGEST: Final = 8_192
"""Characters of what is remembered of one, and of what is held with it."""


class LineEncoder:
    """Encodes decisions on requests, each as its line without the closing brace. For one thread."""

    def __init__(self, keep: Keep) -> None:
        self._keep: Final = keep
        self._revision = ""
        self._second = -2 * _SECOND
        self._opening = b""
        self._came_in = 0
        self._came_said = b'},"request_time":[0,'
        self._scratch: Final = bytearray()
        self._outcomes: Final[Remembered[int, Outcome]] = Remembered()
        self._known_outcomes: Final[dict[int, Outcome]] = self._outcomes.known
        self._targets: Final[Remembered[tuple[str, str, str, str, str], Target]] = Remembered()
        self._queries: Final[ByValue[str]] = ByValue(parameters)
        self._singles: Final[Remembered[str, bytes]] = Remembered()
        self._parameters: Final[dict[str, bytes]] = self._singles.known
        self._shapes: Final = HeaderShapes(keep)
        self._surroundings: Final[list[Surroundings | None]] = [None] * _PLACES
        self._peers: Final[ByIdentity[Peer]] = ByIdentity(peer_part, lambda one: len(one.certificate))
        self._contexts: Final[ByValue[tuple[tuple[str, str], ...]]] = ByValue(
            lambda items: b',"context":%b' % encoded(dict(items))
        )
        self._context: Mapping[str, str] | None = None
        self._context_said = b""
        self._routes: Final[ByIdentity[Mapping[str, Any]]] = ByIdentity(lambda one: encoded(dict(one)))
        self._workloads: Final[ByIdentity[Workload]] = ByIdentity(workload_part)
        self._users: Final[ByIdentity[User]] = ByIdentity(lambda one: encoded(user_line(one, keep)), weight_of)
        self._sessions: Final[ByValue[str]] = ByValue(lambda one: session_hash(one).encode())
        self._kinds: Final[ByValue[tuple[str, ...]]] = ByValue(
            lambda kinds: b',"holders":%b' % encoded(sorted(set(kinds))) if kinds else b""
        )
        self._identities: Final[ByIdentity[Identity]] = ByIdentity(self._identity, lambda one: weight_of(one.user))
        self._known_identities: Final[dict[int, tuple[Identity, bytes, int]]] = self._identities.known

    def encode(self, record: Brief) -> bytes:
        """The line of this record.

        Raises:
            UnicodeEncodeError: a text holds a lone surrogate.
        """
        reasoning, headers = record.reasoning, record.headers
        decision_id, id_, path = record.decision_id, record.id, record.path
        first = second = b""  # the headers that vary, of which there are two at most in what is usual
        is_plain = False
        if type(headers) is _OneLineEach:
            shape = self._shapes.of(headers)
            before, between, behind = shape.before, shape.between, shape.behind
            traced_by, trace, traceparent = self._traced(record, shape, headers)
            is_traced = len(traceparent) > 0
            if shape.are_many:
                values = shape.many(headers)
                is_plain = self._is_plain("".join([decision_id, id_, path, *values])) and not _is_long(values)
                first = shape.joined(values) if is_plain else b""
            else:
                one, other, doubted = shape.few(headers, is_traced=is_traced)
                is_plain = self._is_plain(f"{decision_id}{id_}{path}{doubted}") and (
                    len(one) <= LONGEST and len(other) <= LONGEST
                )
                if is_plain:
                    first = traceparent if is_traced and shape.is_trace_first else one.encode()
                    second = traceparent if is_traced and shape.is_trace_second else other.encode()
        else:
            traced_by, trace = traced(record.whole()).encode(), b""
        if not is_plain:
            before, between, behind = headers_in_full(headers, self._keep).encode(), b"", b""
        if record.length != -1 or record.body is not None:
            behind = b"%b%b" % (behind, lengths(record.length, record.body).encode())
        outcome = self._outcome(record, reasoning)
        target = outcome.target
        if target is None or not target.is_of(record):
            target = self._target(record)
            outcome.turn_to(target)
        begun, named = outcome.begun, target.before
        if reasoning.may_rest or not id_:
            rests = rests_on(reasoning.decision, record.started_ns).encode() if reasoning.may_rest else b""
            begun = b"%b%b%b" % (outcome.came_out, rests, BEGUN if id_ else BEGUN_WITHOUT_ID)
            named = named if id_ else named[len(BEHIND_ID) :]
        started = record.started_ns
        if not 0 <= started - self._second < _SECOND:
            self._begin(started)
        since: i64 = started - self._second
        whole, parts = _duration(record.ended_ns - started)
        came, millis, micros, nanos, bracket = self._came(record)
        # Each piece begins with its comma, so that what is absent leaves nothing.
        return (
            b'%b%b%b%bZ","decision_id":"%b%b%b'  # when, which, and its trace
            b"%b%b%b%b%b%b%b%b"  # how it came out, and what was asked
            b"%b%b%b%b%b"  # by which headers
            b"%b%b%b%b%b%b%b"  # when it came in, from where, and by whom
        ) % (
            self._opening,
            _THREE[since // 1_000_000],
            _THREE[since // 1_000 % 1_000],
            _THREE[since % 1_000],
            decision_id.encode() if is_plain else escaped(decision_id),
            traced_by,
            trace,
            outcome.decided,
            whole,
            parts,
            begun,
            id_.encode() if is_plain else escaped(id_),
            named,
            path.encode() if is_plain else escaped(path),
            self._behind_path(record, outcome, target),
            before,
            first,
            between,
            second,
            behind,
            came,
            millis,
            micros,
            nanos,
            bracket,
            self._around(record),
            rest(record.whole()).encode() if reasoning.is_more or record.beside.is_more else b"",
        )

    def _is_plain(self, text: str) -> bool:
        """Whether none of the characters is written in another way, or takes two bytes."""
        scratch = self._scratch
        _encode_into(text, scratch)
        return len(scratch) == len(text) + 2  # and the quotes

    def _begin(self, started: int) -> None:
        """What the lines of this second begin with."""
        self._opening = b'{"v":1,"time":"%b' % rfc3339(started)[:-10].encode()
        self._second = started - started % _SECOND

    def _came(self, record: Brief) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """The end of the request, and when it came; in five pieces."""
        seconds, nanos = record.time
        if not seconds and not nanos:
            return b"}", b"", b"", b"", b""
        if seconds != self._came_in:
            self._came_in, self._came_said = seconds, b'},"request_time":[%b,' % str(seconds).encode()
        if not _MILLISECOND <= nanos < _SECOND:
            return self._came_said, str(nanos).encode(), b"", b"", b"]"
        exact: i64 = nanos
        return self._came_said, _ONES[exact // 1_000_000], _THREE[exact // 1_000 % 1_000], _THREE[exact % 1_000], b"]"

    def _traced(self, record: Brief, shape: HeaderShape, headers: OneLineEach) -> tuple[bytes, bytes, bytes]:
        """The trace and the span, behind the id of the decision and without the quotes at either end; in two pieces.
        And the `traceparent`, if it is as usual and tells the trace."""
        beside = record.beside
        if shape.trace == ODD_TRACE or beside.trace or beside.span is not None:
            return traced(record.whole()).encode(), b"", b""
        if shape.trace == NO_TRACE:
            return b"", b"", b""
        text = headers.line(shape.trace)
        said = usual(text)
        if len(said) == 0:
            return traced(record.whole()).encode(), b"", b""
        if not shape.has_state:
            record.traceparent = text
        return b'","trace_id":"', trace_of(said), said

    def _outcome(self, record: Brief, reasoning: Reasoning) -> Outcome:
        """What lines have in common that came out alike."""
        noted = reasoning.line
        if isinstance(noted, Outcome) and noted.keep is self._keep:
            return noted
        decision, rules, revision = reasoning.decision, reasoning.rules, reasoning.revision
        if revision != self._revision:
            self._revision = revision
            self._outcomes.clear()
        kind, reason, rule, status = type(decision), decision.reason, decision.rule, 200
        if kind is not Allow:
            status = decision.status if isinstance(decision, Deny) else status_of(decision, record.view())
        place = id(rules) ^ id(reason) ^ status
        known = self._known_outcomes.get(place)
        if known is None or not known.is_of(rules, kind, reason, rule, status):
            known = Outcome(rules, kind, reason, rule, status, revision, self._keep)
            self._outcomes.put(place, known, known.size)
        if kind is not Challenge and known.size <= _LARGEST:  # of a challenge the status is that of its caller
            reasoning.line = known
        return known

    def _target(self, record: Brief) -> Target:
        named = (record.method, record.scheme, record.host, record.authority, record.protocol)
        known = self._targets.known.get(named)
        if known is None:
            known = Target(*named)
            self._targets.put(named, known, len(known.before) + len(known.behind))
        return known

    def _behind_path(self, record: Brief, outcome: Outcome, target: Target) -> bytes:
        """What there is between the path and the headers: the target as it was sent, where it is not the path, what
        there is of a query, and the protocol."""
        sent, has_query, is_path = record.raw_query, record.has_query, record.raw_path == record.path
        if is_path and not has_query and not sent:
            return target.closing
        asked = outcome.asked
        if is_path and has_query and asked and sent.startswith(asked) and sent[len(asked) :].isalnum():
            return outcome.told
        raw = b"" if is_path else b',"raw_path":%b' % encoded(record.raw_path)
        if not has_query:
            return b'"%b%b%b' % (raw, self._asked(record) if sent else b"", target.behind)
        end = sent.find("=")
        if end > 0 and sent[end + 1 :].isalnum():  # one parameter, unless the name holds another
            known = self._parameters.get(sent[:end])
            if known is not None:
                told = b'"%b,"has_query":true%b%b' % (raw, known, target.behind)
                if is_path and outcome.target is target:
                    outcome.asked, outcome.told = sent[: end + 1], told
                return told
        return b'"%b,"has_query":true%b%b' % (raw, self._asked(record) if sent else b"", target.behind)

    def _asked(self, record: Brief) -> bytes:
        """The parameters of a query."""
        names, kept = usual_names(record.raw_query), self._keep.query
        if names is None or (kept and not kept.isdisjoint(names.split("&"))):
            return parameters_in_full(record.http(), self._keep).encode()
        said = self._queries.of(names)
        if "&" not in names:
            self._singles.put(names, said, len(said))
        return said

    def _around(self, record: Brief) -> bytes:
        """Both ends of the connection, what was told of the route and of the request there, and who called."""
        source, identity, metadata = record.source, record.identity, record.metadata
        place = (id(source) + id(identity)) % _PLACES
        known = self._surroundings[place]
        if known is not None and not metadata and known.is_of(record):
            return known.said
        destination, sni, context, route = record.destination, record.sni, record.context, record.route_metadata
        who, held = self._caller(identity)
        said = b"%b%b%b%b%b%b%b" % (
            self._peer(b',"source":', source),
            self._peer(b',"destination":', destination),
            b',"sni":%b' % encoded(sni) if sni else b"",
            self._of_context(context) if context else b"",
            noted(metadata).encode() if metadata else b"",
            b',"route_metadata":%b' % self._routes.of(route) if route else b"",
            who,
        )
        held += len(said) + len(source.certificate) + len(destination.certificate)
        if held <= _LARGEST and not metadata:  # that is of one request, and may be secret
            self._surroundings[place] = Surroundings(record, said)
        return said

    def _of_context(self, context: Mapping[str, str]) -> bytes:
        if context is not self._context:
            self._context, self._context_said = context, self._contexts.of(tuple(context.items()))
        return self._context_said

    def _caller(self, identity: Identity | None) -> tuple[bytes, int]:
        """Who called, and the characters to remember them by; too many of one who may never come again."""
        if identity is None:
            return b"", 0
        if identity.credentials:  # tokens that are new with each request: others come again as the very same
            return self._identity(identity), _LARGEST
        known = self._known_identities.get(id(identity))
        if known is None:
            return self._identities.new(identity), _LARGEST
        return known[1], known[2]

    def _identity(self, identity: Identity) -> bytes:
        workload, user, session = identity.workload, identity.user, identity.session
        fields = b"".join(
            [
                b"" if workload is None else b',"workload":%b' % self._workload(workload),
                b"" if user is None else b',"user":%b' % self._users.of(user),
                b"" if session is None else b',"session":"%b"' % self._sessions.of(session),
                self._kinds.of(tuple([holder.partition(":")[0] for holder in identity.holders])),
                b',"client_ip":%b' % encoded(identity.client_ip) if identity.client_ip else b"",
            ]
        )
        return b',"identity":{%b}' % fields[1:]

    def _workload(self, workload: Workload) -> bytes:
        if workload.attributes is not None:
            return self._workloads.of(workload)
        return b'{"id":%b,"verified_by":%b}' % (encoded(workload.id), encoded(workload.verified_by))

    def _peer(self, name: bytes, peer: Peer) -> bytes:
        ip, port = peer.ip, peer.port
        if not peer.principal and not peer.certificate:
            if ip and port:
                return b'%b{"ip":%b,"port":%b}' % (name, encoded(ip), str(port).encode())
            if not ip and not port:
                return b""
        known = self._peers.of(peer)
        return b"%b%b" % (name, known) if known else b""


def _is_long(values: list[str]) -> bool:
    """Whether one of them is longer than is said."""
    for value in values:  # noqa: SIM110 - a generator would be slow here, compiled
        if len(value) > LONGEST:
            return True
    return False


def _duration(took: int) -> tuple[bytes, bytes]:
    """Microseconds, of nanoseconds; in two pieces."""
    if not 0 <= took < _FAR:
        return long_duration(took).encode(), b""
    exact: i64 = took
    whole = exact // 1_000
    return _ONES[whole] if exact < _MILLISECOND else str(whole).encode(), _THOUSANDTHS[exact % 1_000]
