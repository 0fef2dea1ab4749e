"""From a decision to the bytes of its audit line, at a small part of the cost of the general way.

The rule kept here: the bytes are those of the general way, `line_of` and the encoder of JSON, whatever the record
holds. What many records have in common is put together once, and known again by the very objects that it is of; the
texts that vary are looked at once, all together, whether JSON writes any of them in another way; and each part of a
record that is not usual is made by `line_parts`.
"""

from collections.abc import Mapping
from typing import Any, Final

from extauthz.record.brief import Brief, Reasoning
from extauthz.record.fragments import ByIdentity, ByValue, Remembered, encoded, escaped, text_of
from extauthz.record.header_shapes import NO_TRACE, ODD_TRACE, HeaderShape, HeaderShapes
from extauthz.record.instants import rfc3339
from extauthz.record.line_commons import Outcome, Surroundings, Target
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
from extauthz.record.usual_traces import usual_trace
from extauthz.values.decisions import Allow, Challenge, Deny
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import Peer

_OneLineEach: Final = OneLineEach  # found without a look-up where this is compiled
_VALUES: Final = 3
"""Behind these texts of a record come those of its headers."""
_FAR: Final = 1_000_000_000_000_000
"""Nanoseconds from which on the two ways may write microseconds differently."""
_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000
_ONES: Final = tuple([str(number) for number in range(1000)])
_THREE: Final = tuple([f"{number:03d}" for number in range(1000)])
"""The numbers below a thousand, and with zeroes in front."""
_THOUSANDTHS: Final = tuple([str(number / 1000)[1:] for number in range(1000)])
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
        self._opening = ""
        self._came_in = -1
        self._came_said = ""
        self._outcomes: Final[Remembered[int, Outcome]] = Remembered()
        self._known_outcomes: Final[dict[int, Outcome]] = self._outcomes.known
        self._targets: Final[Remembered[tuple[str, str, str, str, str], Target]] = Remembered()
        self._queries: Final[ByValue[str]] = ByValue(parameters)
        self._singles: Final[Remembered[str, str]] = Remembered()
        self._parameters: Final[dict[str, str]] = self._singles.known
        self._shapes: Final = HeaderShapes(keep)
        self._surroundings: Final[list[Surroundings | None]] = [None] * _PLACES
        self._peers: Final[ByIdentity[Peer]] = ByIdentity(peer_part, lambda one: len(one.certificate))
        self._contexts: Final[ByValue[tuple[tuple[str, str], ...]]] = ByValue(
            lambda items: f',"context":{text_of(dict(items))}'
        )
        self._context: Mapping[str, str] | None = None
        self._context_said = ""
        self._routes: Final[ByIdentity[Mapping[str, Any]]] = ByIdentity(lambda one: text_of(dict(one)))
        self._workloads: Final[ByIdentity[Workload]] = ByIdentity(workload_part)
        self._users: Final[ByIdentity[User]] = ByIdentity(lambda one: text_of(user_line(one, keep)), weight_of)
        self._sessions: Final[ByValue[str]] = ByValue(session_hash)
        self._kinds: Final[ByValue[tuple[str, ...]]] = ByValue(lambda kinds: text_of(sorted(set(kinds))))
        self._identities: Final[ByIdentity[Identity]] = ByIdentity(self._identity, lambda one: weight_of(one.user))
        self._known_identities: Final[dict[int, tuple[Identity, str, int]]] = self._identities.known

    def encode(self, record: Brief) -> bytes:
        """The line of this record.

        Raises:
            UnicodeEncodeError: a text holds a lone surrogate.
        """
        reasoning, beside, headers = record.reasoning, record.beside, record.headers
        said = [record.decision_id, record.id, record.path]
        shape: HeaderShape | None = None
        lines: tuple[str, ...] = ()
        if type(headers) is _OneLineEach:
            shape, lines = self._shapes.of(headers), headers.lines
            shape.take_values(lines, said)
        text = "".join(said)
        # As long as it is, and the quotes: none of its characters is written in another way, or takes two bytes.
        is_plain = len(encoded(text)) == len(text) + 2
        if is_plain and len(text) > LONGEST:
            is_plain = max([len(value) for value in said[_VALUES:]], default=0) <= LONGEST
        if not is_plain:
            said = [escaped(value) for value in said[:_VALUES]]
        outcome = self._outcome(record, reasoning)
        target = outcome.target
        if target is None or not target.is_of(record):
            target = self._target(record)
            outcome.target = target if target.is_short else None
        started = record.started_ns
        since = started - self._second
        if not 0 <= since < _SECOND:
            self._begin(started)
            since = started - self._second
        took = record.ended_ns - started
        is_far = not 0 <= took < _FAR
        id_, path = said[1], said[2]
        # Each piece begins with its comma, so that what is absent leaves nothing.
        pieces = [
            self._opening,
            _THREE[since // 1_000_000],
            _THREE[since // 1_000 % 1_000],
            _THREE[since % 1_000],
            'Z","decision_id":"',
            said[0],
            self._traced(record, shape, lines),
            outcome.decided,
            long_duration(took) if is_far else _ONES[took // 1000] if took < _MILLISECOND else str(took // 1000),
            "" if is_far else _THOUSANDTHS[took % 1000],
            outcome.came_out,
            rests_on(reasoning.decision, started) if reasoning.may_rest else "",
            ',"request":{"id":"' if id_ else ',"request":{',
            id_,
            '",' if id_ else "",
            target.before,
            path,
            '"',
            self._sent(record) if record.has_query or record.raw_query or record.raw_path != record.path else "",
            target.behind,
        ]
        if shape is not None and is_plain:
            shape.put(pieces, said, _VALUES)
        else:
            pieces.append(headers_in_full(headers, self._keep))
        if record.length != -1 or record.body is not None:
            pieces.append(lengths(record.length, record.body))
        self._put_time(pieces, record.time)
        pieces.append(self._around(record))
        if reasoning.is_more or beside.is_more:
            pieces.append(rest(record.whole()))
        return "".join(pieces).encode()

    def _begin(self, started: int) -> None:
        """What the lines of this second begin with."""
        self._second = started - started % _SECOND
        self._opening = '{"v":1,"time":"' + rfc3339(started)[:-10]

    def _put_time(self, pieces: list[str], time: tuple[int, int]) -> None:
        """Put the end of the request behind these, and when it came."""
        seconds, nanos = time
        if not seconds and not nanos:
            pieces.append("}")
            return
        if seconds != self._came_in:
            self._came_in, self._came_said = seconds, str(seconds)
        pieces += ['},"request_time":[', self._came_said, ",", str(nanos), "]"]

    def _traced(self, record: Brief, shape: HeaderShape | None, lines: tuple[str, ...]) -> str:
        """The trace and the span, behind the id of the decision and without the quotes at either end."""
        beside = record.beside
        if shape is None or shape.trace == ODD_TRACE or beside.trace or beside.span is not None:
            return traced(record.whole())
        if shape.trace == NO_TRACE:
            return ""
        usual = usual_trace(lines[shape.trace])
        return '","trace_id":"' + usual if usual else traced(record.whole())

    def _outcome(self, record: Brief, reasoning: Reasoning) -> Outcome:
        """What lines have in common that came out alike."""
        noted = reasoning.line
        if isinstance(noted, Outcome):
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
            known = Outcome(rules, kind, reason, rule, status, revision)
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

    def _sent(self, record: Brief) -> str:
        """The target as it was sent, where it is not the path, and what there is of a query."""
        raw = f',"raw_path":{text_of(record.raw_path)}' if record.raw_path != record.path else ""
        sent = record.raw_query
        if not record.has_query:
            return raw + self._asked(record) if sent else raw
        end = sent.find("=")
        if end > 0 and sent[end + 1 :].isalnum():  # one parameter, unless the name holds another
            known = self._parameters.get(sent[:end])
            if known is not None:
                return raw + known if raw else known
        return f'{raw},"has_query":true{self._asked(record)}' if sent else raw + ',"has_query":true'

    def _asked(self, record: Brief) -> str:
        """The parameters of a query."""
        names, kept = usual_names(record.raw_query), self._keep.query
        if names is None or (kept and not kept.isdisjoint(names.split("&"))):
            return parameters_in_full(record.http(), self._keep)
        said = self._queries.of(names)
        if "&" not in names:
            self._singles.put(names, f',"has_query":true{said}', len(said))
        return said

    def _around(self, record: Brief) -> str:
        """Both ends of the connection, what was told of the route and of the request there, and who called."""
        source, identity, metadata = record.source, record.identity, record.metadata
        place = (id(source) ^ id(identity)) % _PLACES
        known = self._surroundings[place]
        if known is not None and not metadata and known.is_of(record):
            return known.said
        destination, sni, context, route = record.destination, record.sni, record.context, record.route_metadata
        who, held = self._caller(identity)
        said = "".join(
            [
                self._peer(',"source":', source),
                self._peer(',"destination":', destination),
                f',"sni":{text_of(sni)}' if sni else "",
                self._of_context(context) if context else "",
                noted(metadata) if metadata else "",
                f',"route_metadata":{self._routes.of(route)}' if route else "",
                who,
            ]
        )
        held += len(said) + len(source.certificate) + len(destination.certificate)
        if held <= _LARGEST and not metadata:  # that is of one request, and may be secret
            self._surroundings[place] = Surroundings(record, said)
        return said

    def _of_context(self, context: Mapping[str, str]) -> str:
        if context is not self._context:
            self._context, self._context_said = context, self._contexts.of(tuple(context.items()))
        return self._context_said

    def _caller(self, identity: Identity | None) -> tuple[str, int]:
        """Who called, and the characters to remember them by; too many of one who may never come again."""
        if identity is None:
            return "", 0
        if identity.credentials:  # tokens that are new with each request: others come again as the very same
            return self._identity(identity), _LARGEST
        known = self._known_identities.get(id(identity))
        if known is None:
            return self._identities.new(identity), _LARGEST
        return known[1], known[2]

    def _identity(self, identity: Identity) -> str:
        workload, user, session = identity.workload, identity.user, identity.session
        kinds = self._kinds.of(tuple([holder.partition(":")[0] for holder in identity.holders]))
        fields = "".join(
            [
                "" if workload is None else f',"workload":{self._workload(workload)}',
                "" if user is None else f',"user":{self._users.of(user)}',
                "" if session is None else f',"session":"{self._sessions.of(session)}"',
                f',"holders":{kinds}' if identity.holders else "",
                f',"client_ip":"{escaped(identity.client_ip)}"' if identity.client_ip else "",
            ]
        )
        return f',"identity":{{{fields[1:]}}}'

    def _workload(self, workload: Workload) -> str:
        if workload.attributes is not None:
            return self._workloads.of(workload)
        name, source = encoded(workload.id).decode(), encoded(workload.verified_by).decode()
        return f'{{"id":{name},"verified_by":{source}}}'

    def _peer(self, name: str, peer: Peer) -> str:
        ip, port = peer.ip, peer.port
        if not peer.principal and not peer.certificate:
            if ip and port:
                said = encoded(ip).decode()
                return f'{name}{{"ip":{said},"port":{port}}}'
            if not ip and not port:
                return ""
        known = self._peers.of(peer)
        return name + known if known else ""
