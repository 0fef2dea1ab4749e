"""A record as a request that can be decided again.

The rule kept here: what is masked is there by name, and looking at its value raises `Masked` and leaves a trace.
An evaluation that left no trace saw everything that it asked for; one that did may have come out otherwise.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

import msgspec

from extauthz import cel
from extauthz.history.recorded_facts import (
    NOTHING_RECORDED,
    Missing,
    RecordedAnswers,
    RecordedFields,
    RecordedRisk,
    device_fields,
    known_answers,
    reported_fields,
    travel_fields,
)
from extauthz.identity import spiffe
from extauthz.policy import context
from extauthz.policy.candidates import Candidates
from extauthz.policy.context import Inputs, RequestScope
from extauthz.policy.views import ReadOnce, RequestFields, SessionFields, header_texts
from extauthz.record.audit_line import (
    MASKED_NAMES,
    UNREADABLE,
    DecisionLine,
    IdentityLine,
    PeerLine,
    RequestLine,
    SessionLine,
    UserLine,
)
from extauthz.record.audit_line import Masked as MaskedValues
from extauthz.values.facts import Question
from extauthz.values.grants import NO_FACTS, Facts, SessionAges
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import HttpRequest, Peer, RequestView

HOLDER: Final = "recorded:holder"
"""Stands for what the caller held: the record has kinds of holders only."""
MASKED: Final = "is masked in the record"
"""What the message of `Masked` says of a name."""


class Masked(cel.EvalError):
    """The value was there, and is not in the record."""


class Trace:
    """What was looked at in vain."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def miss(self, what: str) -> NoReturn:
        """Note that `what` was looked at, and raise `Masked`."""
        self.seen.add(what)
        raise Masked(f"`{what}` {MASKED}")


class Recorded:
    """One record, ready to be decided again: `request`, `identity` and `now` as they were, and `scope` for facts."""

    def __init__(self, line: DecisionLine) -> None:
        """`line` has a request or is of a TCP check, and has an identity."""
        self.line = line
        self.trace = Trace()
        self.now = instant(line.time)
        self.request = _request(line, self.trace)
        self.identity = _identity(line.identity or IdentityLine(), self.trace)

    def scope(
        self, facts: Facts = NO_FACTS, candidates: Candidates | None = None, unchanged: frozenset[str] = frozenset()
    ) -> RequestScope:
        """What conditions see: fresh, so that nothing is kept of an evaluation before.

        Of what `candidates` ask it has the answers that are recorded, and of signals those that are `unchanged`.
        """
        answers: Mapping[Question, Any] = {}
        if candidates is not None:
            seen = frozenset(self.trace.seen)
            answers = known_answers(candidates, self.line.facts or NOTHING_RECORDED, self.scope(facts))
            self.trace.seen &= seen  # what is asked in vain leaves a trace when its condition looks for the answer
        facts = msgspec.structs.replace(facts, answers=RecordedAnswers(answers, self.trace.miss))
        inputs = Inputs(request=self.request, identity=self.identity, facts=facts, now=self.now)
        risk = RecordedRisk(self.line, unchanged, self.trace.seen, self.trace.miss)
        return _RecordedScope(inputs, self.line, self.trace, risk)


def is_decidable(line: DecisionLine) -> bool:
    """Whether policies decided this: not so for what was refused before, or when something was out of reach."""
    by_policy = line.decision != "deny" or line.rule is not None or line.reason == "no-rule-allows"
    return by_policy and line.identity is not None and (line.tcp or line.request is not None)


def instant(time: str) -> float:
    """The seconds since the epoch of a record's time, with its nanoseconds as far as a float has them."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


class MaskedLists(Mapping[str, tuple[str, ...]]):
    """Names to values, some masked; `unnamed` names are masked as well."""

    __slots__ = ("_entries", "_trace", "_unnamed", "_what")

    def __init__(self, entries: Mapping[str, MaskedValues], trace: Trace, what: str, unnamed: int = 0) -> None:
        self._entries = entries
        self._trace = trace
        self._what = what
        self._unnamed = unnamed

    def __getitem__(self, name: str) -> tuple[str, ...]:
        values = self._entries.get(name)
        if values is None:
            if self._unnamed:
                self._trace.miss(f"{self._what}.*")
            raise KeyError(name)
        if isinstance(values, int):
            self._trace.miss(f"{self._what}.{name}")
        return tuple(values)

    def __contains__(self, name: object) -> bool:
        if name in self._entries:
            return True
        if self._unnamed:
            self._trace.miss(f"{self._what}.*")
        return False

    def __iter__(self) -> Iterator[str]:
        if self._unnamed:
            self._trace.miss(f"{self._what}.*")
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries) + self._unnamed


class MaskedMap(Mapping[str, Any]):
    """Names to values of any kind, of which those in `names` are masked."""

    __slots__ = ("_kept", "_names", "_trace", "_what")

    def __init__(self, kept: Mapping[str, Any], names: list[str], trace: Trace, what: str) -> None:
        self._kept = kept
        self._names = frozenset(names)
        self._trace = trace
        self._what = what

    def __getitem__(self, name: str) -> object:
        if name in self._names:
            self._trace.miss(f"{self._what}.{name}")
        return self._kept[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names or name in self._kept

    def __iter__(self) -> Iterator[str]:
        yield from self._kept
        yield from self._names

    def __len__(self) -> int:
        return len(self._kept) + len(self._names)


class _RecordedScope(RequestScope):
    """The names that conditions see, with views of their own where something is masked."""

    __slots__ = ("_line", "_risk", "_trace")

    def __init__(self, inputs: Inputs, line: DecisionLine, trace: Trace, risk: RecordedRisk) -> None:
        super().__init__(inputs)
        self._line = line
        self._trace = trace
        self._risk = risk

    def __missing__(self, name: str) -> object:
        line, miss = self._line, self._trace.miss
        facts = line.facts or NOTHING_RECORDED
        value: object
        match name:
            case "request" if line.request is not None and (http := self._inputs.request.http) is not None:
                texts = header_texts(http.headers)
                value = _RecordedFields(self._inputs.request, http, texts, line=line.request, trace=self._trace)
            case "session" if self._inputs.identity.session is not None:
                value = _RecordedSession(self._inputs.identity.session, line.session, self._trace)
            case "tls":
                value = _RecordedTls(line)
            case "geo":
                value = RecordedFields("geo", facts.geo, miss)
            case "travel":
                value = travel_fields(facts.travel, miss)
            case "device":
                value = device_fields(facts.device, miss)
            case "reported":
                value = reported_fields(facts.reported, miss)
            case "attributes":
                value = Missing("attributes", miss)
            case context.ADDRESSES:
                value = Missing("listed", miss)
            case context.RECALL:
                value = self._risk
            case _:
                return super().__missing__(name)
        self[name] = value
        return value


class _RecordedFields(RequestFields, kw_only=True):
    """The fields of a recorded `request`."""

    line: RequestLine
    trace: Trace

    @ReadOnce
    def query_all(self) -> Mapping[str, tuple[str, ...]]:
        if self.line.query_error is not None:
            raise cel.EvalError(self.line.query_error)
        return MaskedLists(self.line.query, self.trace, "request.query", self.line.unnamed)

    @property
    def body(self) -> bytes:
        self._look_into("request.body")
        return super().body

    @ReadOnce
    def json(self) -> object:
        self._look_into("request.json")
        return super().json

    @ReadOnce
    def form(self) -> Mapping[str, str]:
        self._look_into("request.form")
        return super().form

    @ReadOnce
    def multipart(self) -> Mapping[str, object]:
        self._look_into("request.multipart")
        return super().multipart

    @ReadOnce
    def grpc(self) -> Mapping[str, object]:
        self._look_into("request.grpc")
        return super().grpc

    def _look_into(self, view: str) -> None:
        """A body is never recorded; that there was none, or that it was not known, is."""
        if self.line.body:
            self.trace.miss(view)


class _RecordedSession(SessionFields):
    """The session: its identifier is in the record as a hash, its ages where a rule looked at them."""

    __slots__ = ("_trace",)

    def __init__(self, session: str, line: SessionLine | None, trace: Trace) -> None:
        super().__init__(session, None if line is None else SessionAges(age=line.age_s, idle=line.idle_s))
        self._trace = trace

    @property
    def id(self) -> object:
        self._trace.miss("session.id")

    def _unknown(self, what: str) -> NoReturn:
        self._trace.miss(what)


class _RecordedTls:
    """The fields of `tls`."""

    def __init__(self, line: DecisionLine) -> None:
        self.sni = line.sni or cel.UNSET
        self._digest = line.source.certificate_sha256 if line.source is not None else ""

    @property
    def peer_certificate_sha256(self) -> object:
        if self._digest == UNREADABLE:
            raise cel.EvalError("the peer certificate is not PEM")
        return self._digest or cel.UNSET


def _request(line: DecisionLine, trace: Trace) -> RequestView:
    return RequestView(
        source=_peer(line.source),
        destination=_peer(line.destination),
        http=None if line.request is None else _http(line.request, trace),
        time=line.request_time or (0, 0),
        sni=line.sni,
        context=line.context,
        metadata={name: MaskedMap({}, names, trace, f"metadata.{name}") for name, names in line.metadata.items()},
        route_metadata=line.route_metadata,
    )


def _peer(line: PeerLine | None) -> Peer:
    return Peer() if line is None else Peer(ip=line.ip, port=line.port, principal=line.principal)


def _http(line: RequestLine, trace: Trace) -> HttpRequest:
    """The request. Its query and its body stand for themselves only where they are bound to, never where they are
    read: conditions see them through `_RecordedFields`."""
    return HttpRequest(
        id=line.id,
        method=line.method,
        scheme=line.scheme,
        host=line.host,
        authority=line.authority,
        path=line.path,
        segments=segments_of(line.path),
        raw_path=line.path if line.raw_path is None else line.raw_path,
        raw_query="",
        protocol=line.protocol,
        headers=MaskedLists(line.headers, trace, "request.headers"),
        size=line.size,
        body=None if line.body is None else b"",
        has_query=line.has_query,
    )


def segments_of(path: str) -> tuple[str, ...]:
    """The segments behind a canonical path, in which a `/` within one is written `%2F`."""
    inner = path[1:-1] if path.endswith("/") else path[1:]
    return tuple(segment.replace("%2F", "/") for segment in inner.split("/")) if inner else ()


def _identity(line: IdentityLine, trace: Trace) -> Identity:
    workload: Workload | None = None
    if line.workload is not None:
        workload = spiffe.parse(line.workload.id, verified_by=line.workload.verified_by)
        if workload is not None:
            workload = msgspec.structs.replace(workload, attributes=line.workload.attributes)
    return Identity(
        workload=workload,
        user=None if line.user is None else _user(line.user, trace),
        session=line.session,
        holders=frozenset({HOLDER}),
        client_ip=line.client_ip,
    )


def _user(line: UserLine, trace: Trace) -> User:
    return User(
        sub=line.sub,
        iss=line.iss,
        aud=tuple(line.aud),
        groups=tuple(line.groups),
        claims=MaskedMap(line.kept, line.claims, trace, "user.claims"),
        amr=tuple(line.amr),
        acr=line.acr,
        proven_factors=frozenset(line.proven_factors),
        proven_acr=frozenset(line.proven_acr),
        auth_time=line.auth_time,
        issued_at=line.issued_at,
        actor=None if line.actor is None else _actor(line.actor, trace, "user.actor"),
        verified_by=line.verified_by,
        cookie=line.cookie,
    )


def _actor(actor: dict[str, Any], trace: Trace, what: str) -> Mapping[str, Any]:
    kept = {name: value for name, value in actor.items() if name != MASKED_NAMES}
    inner = kept.get("act")
    if isinstance(inner, dict):
        kept["act"] = _actor(inner, trace, f"{what}.act")
    return MaskedMap(kept, actor.get(MASKED_NAMES, []), trace, what)
