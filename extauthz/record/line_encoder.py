"""From a decision to the bytes of its audit line, at a small part of the cost of the general way.

The rule kept here: the bytes are those of the general way, `line_of` and the encoder of JSON, whatever the record
holds. What many records have in common is put together once, and known again by the very objects that it is of; the
texts that vary are looked at once, all together, whether JSON writes any of them in another way; and each part of a
record that is not usual is made by `line_parts`.
"""

from collections.abc import Mapping
from typing import Any, Final

from extauthz.record.decision import DECISION_NAMES, DecisionRecord
from extauthz.record.fragments import ByIdentity, ByValue, Remembered, encoded, escaped, text_of
from extauthz.record.header_shapes import NO_TRACE, ODD_TRACE, HeaderShape, HeaderShapes
from extauthz.record.instants import rfc3339
from extauthz.record.line_parts import (
    headers_in_full,
    lengths,
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
from extauthz.record.masking import LONGEST, Keep, line_of, rule_line, status_of, user_line
from extauthz.record.session_hash import session_hash
from extauthz.record.usual_traces import usual_trace
from extauthz.values.decisions import Allow, Decision, Deny, RuleResult
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import HttpRequest, Peer, RequestView

_FAR: Final = 1_000_000_000_000_000
"""Nanoseconds from which on the two ways may write microseconds differently."""
_SECOND: Final = 1_000_000_000
_THOUSANDTHS: Final = tuple([str(number / 1000)[1:] for number in range(1000)])
"""What stands behind a whole number, by the thousandths."""
_PLACES: Final = 509
"""Callers at connections that are remembered: each has one place, and leaves it to the next that belongs there."""
_LARGEST: Final = 8_192
"""Characters of what is remembered of one, and of what is held with it."""


class LineEncoder:
    """Encodes decisions, each as its line without the closing brace. For one thread."""

    def __init__(self, keep: Keep) -> None:
        self._keep: Final = keep
        self._revision = ""
        self._second = -2 * _SECOND
        self._opening = ""
        self._outcomes: Final[Remembered[int, _Outcome]] = Remembered()
        self._known_outcomes: Final[dict[int, _Outcome]] = self._outcomes.known
        self._targets: Final[Remembered[tuple[str, str, str, str, str], _Target]] = Remembered()
        self._queries: Final[ByValue[str]] = ByValue(parameters)
        self._known_queries: Final[dict[str, str]] = self._queries.known
        self._shapes: Final = HeaderShapes(keep)
        self._surroundings: Final[list[_Surroundings | None]] = [None] * _PLACES
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

    def encode(self, record: DecisionRecord) -> bytes:
        """The line of this record.

        Raises:
            UnicodeEncodeError: a text holds a lone surrogate.
        """
        request, decision = record.request, record.decision
        http = None if request is None else request.http
        if request is None or http is None:
            return text_of(line_of(record, self._keep))[:-1].encode()
        ident, id_, path, headers = record.decision_id, http.id, http.path, http.headers
        lines: tuple[str, ...] = ()
        values: list[str] = []
        shape: HeaderShape | None = None
        if type(headers) is OneLineEach:
            lines = headers.lines
            shape = self._shapes.of(headers.places, lines)
            values = shape.values_of(lines)
        trace = self._traced(record, shape, lines)
        text = "".join([ident, id_, path, *values])
        # As long as it is, and the quotes: none of its characters is written in another way, or takes two bytes.
        is_plain = len(encoded(text)) == len(text) + 2
        if is_plain and len(text) > LONGEST:
            is_plain = max([len(value) for value in values], default=0) <= LONGEST
        if not is_plain:
            ident, id_, path = escaped(ident), escaped(id_), escaped(path)
        outcome = self._outcome(record, decision, request)
        target = outcome.target
        if target is None or not target.is_of(http):
            target = outcome.target = self._target(http)
        started = record.started_ns
        since = started - self._second
        if not 0 <= since < _SECOND:
            self._begin(started)
            since = started - self._second
        took = record.ended_ns - started
        seconds, nanos = request.time
        # Each piece begins with its comma, so that what is absent leaves nothing.
        return "".join(
            [
                self._opening,
                str(since + _SECOND)[1:],
                'Z","decision_id":"',
                ident,
                trace,
                outcome.decided,
                str(took // 1000) if 0 <= took < _FAR else text_of(took / 1000),
                _THOUSANDTHS[took % 1000] if 0 <= took < _FAR else "",
                outcome.came_out,
                rests_on(decision, started) if outcome.may_rest else "",
                ',"request":{"id":"' if id_ else ',"request":{',
                id_,
                '",' if id_ else "",
                target.before,
                path,
                '"',
                self._sent(http) if http.has_query or http.raw_query or http.raw_path != path else "",
                target.behind,
                *(shape.filled(values) if shape is not None and is_plain else [headers_in_full(headers, self._keep)]),
                lengths(http) if http.size != -1 or http.body is not None else "",
                f'}},"request_time":[{seconds},{nanos}]' if seconds or nanos else "}",
                self._around(request, record.identity),
                rest(record)
                if record.session is not None
                or record.detail is not None
                or record.views
                or record.asked
                or record.risk
                or record.waits
                or record.challenge
                else "",
            ]
        ).encode()

    def _begin(self, started: int) -> None:
        """What the lines of this second begin with."""
        self._second = started - started % _SECOND
        self._opening = '{"v":1,"time":"' + rfc3339(started)[:-10]

    def _traced(self, record: DecisionRecord, shape: HeaderShape | None, lines: tuple[str, ...]) -> str:
        """The trace and the span, behind the id of the decision and without the quotes at either end."""
        if shape is None or shape.trace == ODD_TRACE or record.trace or record.span is not None:
            return traced(record)
        if shape.trace == NO_TRACE:
            return ""
        usual = usual_trace(lines[shape.trace])
        return f'","trace_id":"{usual}' if usual else traced(record)

    def _outcome(self, record: DecisionRecord, decision: Decision, request: RequestView) -> "_Outcome":
        """What lines have in common that came out alike."""
        if record.revision != self._revision:
            self._revision = record.revision
            self._outcomes.clear()
        kind, rules, reason, rule, status = type(decision), record.rules, decision.reason, decision.rule, 200
        if kind is not Allow:
            status = decision.status if isinstance(decision, Deny) else status_of(decision, request)
        place = id(rules) ^ id(reason) ^ status
        known = self._known_outcomes.get(place)
        if known is None or not known.is_of(rules, kind, reason, rule, status):
            known = _Outcome(rules, kind, reason, rule, status, self._revision)
            self._outcomes.put(place, known, len(known.decided) + len(known.came_out))
        known.may_rest = bool(decision.grants or decision.auto) if isinstance(decision, Allow) else kind is not Deny
        return known

    def _target(self, http: HttpRequest) -> "_Target":
        named = (http.method, http.scheme, http.host, http.authority, http.protocol)
        known = self._targets.known.get(named)
        if known is None:
            known = _Target(*named)
            self._targets.put(named, known, len(known.before) + len(known.behind))
        return known

    def _sent(self, http: HttpRequest) -> str:
        """The target as it was sent, where it is not the path, and what there is of a query."""
        raw = f',"raw_path":{text_of(http.raw_path)}' if http.raw_path != http.path else ""
        if http.has_query:
            raw += ',"has_query":true'
        sent = http.raw_query
        if not sent:
            return raw
        end = sent.find("=")
        if end > 0 and sent[end + 1 :].isalnum():  # one parameter, unless the name holds another
            name = sent[:end]
            known = self._known_queries.get(name)
            if known is not None and "&" not in name and name not in self._keep.query:
                return raw + known
        names = usual_names(sent)
        if names is not None and (not self._keep.query or self._keep.query.isdisjoint(names.split("&"))):
            return raw + self._queries.of(names)
        return raw + parameters_in_full(http, self._keep)

    def _around(self, request: RequestView, identity: Identity | None) -> str:
        """Both ends of the connection, what was told of the route and of the request there, and who called."""
        source, metadata = request.source, request.metadata
        place = (id(source) ^ id(identity)) % _PLACES
        known = self._surroundings[place]
        if known is not None and not metadata and known.is_of(source, identity, request):
            return known.said
        destination, sni, context, route = request.destination, request.sni, request.context, request.route_metadata
        who, held = self._caller(identity)
        said = "".join(
            [
                self._peer(',"source":', source),
                self._peer(',"destination":', destination),
                f',"sni":{text_of(sni)}' if sni else "",
                self._of_context(context) if context else "",
                noted(request) if metadata else "",
                f',"route_metadata":{self._routes.of(route)}' if route else "",
                who,
            ]
        )
        held += len(said) + len(source.certificate) + len(destination.certificate)
        if held <= _LARGEST and not metadata:  # that is of one request, and may be secret
            self._surroundings[place] = _Surroundings(source, identity, destination, context, sni, route, said)
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


class _Target:
    """What a request is to: what its line says behind its id and before the path, and behind the query."""

    def __init__(self, method: str, scheme: str, host: str, authority: str, protocol: str) -> None:
        self._method: Final = method
        self._scheme: Final = scheme
        self._host: Final = host
        self._authority: Final = authority
        self._protocol: Final = protocol
        self.before: Final = "".join(
            [
                f'"method":{text_of(method)},',
                f'"scheme":{text_of(scheme)},' if scheme else "",
                f'"host":{text_of(host)},',
                f'"authority":{text_of(authority)},' if authority else "",
                '"path":"',
            ]
        )
        self.behind: Final = f',"protocol":{text_of(protocol)}' if protocol else ""

    def is_of(self, http: HttpRequest) -> bool:
        """Whether the request is to the same."""
        return (
            http.method == self._method
            and http.host == self._host
            and http.authority == self._authority
            and http.scheme == self._scheme
            and http.protocol == self._protocol
        )


class _Outcome:
    """How requests came out: what their lines say before the time that it took, and behind it.

    `target` is what the last one was to, and `may_rest` whether there is more to say of its decision.
    """

    def __init__(
        self,
        rules: tuple[RuleResult, ...],
        kind: type[Decision],
        reason: str,
        rule: str | None,
        status: int,
        revision: str,
    ) -> None:
        self._rules: Final = rules
        self._kind: Final = kind
        self._reason: Final = reason
        self._rule: Final = rule
        self._status: Final = status
        by = "" if rule is None else f',"rule":{text_of(rule)}'
        self.decided: Final = (
            f'","decision":"{DECISION_NAMES[kind]}","reason":{text_of(reason)}{by},"status":{status}'
            f',"revision":{text_of(revision)},"duration_us":'
        )
        self.came_out: Final = f',"rules":{text_of([rule_line(one) for one in rules])}' if rules else ""
        self.target: _Target | None = None
        self.may_rest = False

    def is_of(
        self, rules: tuple[RuleResult, ...], kind: type[Decision], reason: str, rule: str | None, status: int
    ) -> bool:
        """Whether it is how that came out: by the very objects, which the words of a policy are."""
        return (
            rules is self._rules
            and kind is self._kind
            and reason is self._reason
            and rule is self._rule
            and status == self._status
        )


class _Surroundings:
    """A caller at a connection, by the very objects, and what lines say of both."""

    def __init__(
        self,
        source: Peer,
        identity: Identity | None,
        destination: Peer,
        context: Mapping[str, str],
        sni: str,
        route: Mapping[str, Any],
        said: str,
    ) -> None:
        self._source: Final = source
        self._identity: Final = identity
        self._destination: Final = destination
        self._context: Final = context
        self._sni: Final = sni
        self._route: Final = route
        self.said: Final = said

    def is_of(self, source: Peer, identity: Identity | None, request: RequestView) -> bool:
        """Whether the request is from there, by them, and came the same way."""
        return (
            source is self._source
            and identity is self._identity
            and request.destination is self._destination
            and request.context is self._context
            and request.sni == self._sni
            and request.route_metadata is self._route
        )
