"""What a condition sees: the declared names with their types, and the scopes that evaluate them.

The rule kept here: a name is looked into when a condition first reads it, and once per request. What stands behind the
names is in `views`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from extauthz import cel
from extauthz.policy.fact_views import Attributes, TravelFields, device_of, device_view, geo_view
from extauthz.policy.functions import ANSWERS
from extauthz.policy.reported_view import ReportedFields
from extauthz.policy.views import (
    Absent,
    Entries,
    PeerFields,
    RequestFields,
    SessionFields,
    TcpFields,
    TlsFields,
    UserFields,
    WorkloadFields,
    header_texts,
    timestamp_parts,
)
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, RequestView

_TEXTS = cel.map_of(cel.STRING, cel.STRING)
_LISTS = cel.map_of(cel.STRING, cel.list_of(cel.STRING))
_WORDS = cel.list_of(cel.STRING)


def _struct(name: str, **fields: cel.CelType) -> cel.StructType:
    return cel.StructType(name, {field: cel.Field(kind, optional=True) for field, kind in fields.items()})


REQUEST: Final = _struct(
    "request",
    id=cel.STRING,
    method=cel.STRING,
    scheme=cel.STRING,
    host=cel.STRING,
    path=cel.STRING,
    raw_path=cel.STRING,
    query=_TEXTS,
    query_all=_LISTS,
    headers=_TEXTS,
    header_values=_LISTS,
    protocol=cel.STRING,
    size=cel.INT,
    time=cel.TIMESTAMP,
    body=cel.BYTES,
    json=cel.DYN,
    form=_TEXTS,
    multipart=cel.map_of(cel.STRING, cel.DYN),
    grpc=cel.map_of(cel.STRING, cel.DYN),
    truncated=cel.BOOL,
)
PEER: Final = _struct("peer", ip=cel.STRING, port=cel.INT, principal=cel.STRING)
TLS: Final = _struct("tls", sni=cel.STRING, peer_certificate_sha256=cel.STRING)
WORKLOAD: Final = _struct(
    "workload",
    id=cel.STRING,
    trust_domain=cel.STRING,
    path=cel.STRING,
    namespace=cel.STRING,
    service_account=cel.STRING,
    verified_by=cel.STRING,
    attributes=_TEXTS,
)
USER: Final = _struct(
    "user",
    sub=cel.STRING,
    iss=cel.STRING,
    aud=_WORDS,
    groups=_WORDS,
    claims=cel.DYN,
    amr=_WORDS,
    acr=cel.STRING,
    auth_time=cel.TIMESTAMP,
    token_age=cel.DURATION,
    actor=cel.DYN,
    verified_by=cel.STRING,
)
SESSION: Final = _struct("session", id=cel.STRING, age=cel.DURATION, idle=cel.DURATION)
DEVICE: Final = _struct("device", id=cel.STRING, known=cel.BOOL, age=cel.DURATION)
TRAVEL: Final = _struct("travel", distance_km=cel.DOUBLE, speed_kmh=cel.DOUBLE, since=cel.DURATION)
REPORTED: Final = _struct(
    "reported",
    risk_level=cel.STRING,
    risk_reason=cel.STRING,
    risk_at=cel.TIMESTAMP,
    compliance=cel.STRING,
    compliance_at=cel.TIMESTAMP,
    assurance=cel.STRING,
    assurance_at=cel.TIMESTAMP,
    credential_change=cel.STRING,
    credential_change_at=cel.TIMESTAMP,
    compromised_at=cel.TIMESTAMP,
    device_risk_level=cel.STRING,
    device_risk_reason=cel.STRING,
    device_risk_at=cel.TIMESTAMP,
    device_compliance=cel.STRING,
    device_compliance_at=cel.TIMESTAMP,
)
RISK: Final = cel.StructType("risk", {"score": cel.DOUBLE, "level": cel.STRING, "signals": _WORDS})
GEO: Final = _struct(
    "geo",
    country=cel.STRING,
    continent=cel.STRING,
    city=cel.STRING,
    asn=cel.INT,
    latitude=cel.DOUBLE,
    longitude=cel.DOUBLE,
    accuracy_km=cel.DOUBLE,
    anonymous=cel.BOOL,
)
CLIENT: Final = _struct("client", ip=cel.STRING)
ROUTE: Final = _struct("route", metadata=cel.map_of(cel.STRING, cel.DYN))

PARAMS: Final = "request.params"
VARIABLES: Final = "variables."
INPUTS: Final = "@inputs"
RECALL: Final = "@recall"
"""What recalls how signals came out then, where a recorded request is decided again; `None` where it is a new one."""
ADDRESSES: Final = "@addresses"
NAMES: Final[Mapping[str, cel.CelType]] = {
    "request": REQUEST,
    PARAMS: _TEXTS,
    "source": PEER,
    "destination": PEER,
    "tls": TLS,
    "workload": WORKLOAD,
    "user": USER,
    "session": SESSION,
    "device": DEVICE,
    "context": _TEXTS,
    "metadata": cel.map_of(cel.STRING, cel.DYN),
    "route": ROUTE,
    "geo": GEO,
    "client": CLIENT,
    "now": cel.TIMESTAMP,
    "travel": TRAVEL,
    "reported": REPORTED,
    "attributes": cel.map_of(cel.STRING, cel.map_of(cel.STRING, cel.DYN)),
    "risk": RISK,
}
"""Every name that any condition may use; a policy's `variables.…` come on top."""


class Inputs(msgspec.Struct, frozen=True):
    """Everything that a condition can depend on. `now` is in seconds since the epoch."""

    request: RequestView
    identity: Identity
    facts: Facts
    now: float


def _request(inputs: Inputs) -> object:
    check = inputs.request
    http = check.http
    return TcpFields(check.time) if http is None else RequestFields(check, http, header_texts(http.headers))


def _workload(inputs: Inputs) -> object:
    return Absent() if inputs.identity.workload is None else WorkloadFields(inputs.identity.workload)


def _user(inputs: Inputs) -> object:
    return Absent() if inputs.identity.user is None else UserFields(inputs.identity.user, inputs.now)


def _session(inputs: Inputs) -> object:
    session = inputs.identity.session
    return Absent() if session is None else SessionFields(session, inputs.facts.session)


def _route(inputs: Inputs) -> object:
    route_metadata = inputs.request.route_metadata
    return Entries({"metadata": route_metadata} if route_metadata else EMPTY)


def _client(inputs: Inputs) -> object:
    return Entries({"ip": inputs.identity.client_ip} if inputs.identity.client_ip else EMPTY)


def _reported(inputs: Inputs) -> object:
    facts, identity, now = inputs.facts, inputs.identity, inputs.now
    return ReportedFields(facts, identity, lambda: device_of(facts, inputs.request, identity, now), now)


_VIEWS: Final[Mapping[str, Callable[[Inputs], object]]] = {
    "request": _request,
    "source": lambda inputs: PeerFields(inputs.request.source),
    "destination": lambda inputs: PeerFields(inputs.request.destination),
    "tls": lambda inputs: TlsFields(inputs.request),
    "workload": _workload,
    "user": _user,
    "session": _session,
    "device": lambda inputs: device_view(inputs.facts, inputs.request, inputs.identity, inputs.now),
    "context": lambda inputs: inputs.request.context,
    "metadata": lambda inputs: inputs.request.metadata,
    "route": _route,
    "geo": lambda inputs: geo_view(inputs.facts, inputs.identity.client_ip),
    "client": _client,
    "now": lambda inputs: cel.Timestamp(*timestamp_parts(inputs.now)),
    "travel": lambda inputs: TravelFields(inputs.facts, inputs.identity.client_ip, inputs.now),
    "reported": _reported,
    "attributes": lambda inputs: Attributes(inputs.facts.attributes),
    ANSWERS: lambda inputs: inputs.facts,
    ADDRESSES: lambda inputs: inputs.facts.local.addresses,
    INPUTS: lambda inputs: inputs,
    RECALL: lambda _: None,
}


class RequestScope(dict[str, object]):
    """The names that all policies share, each built when it is first read."""

    __slots__ = ("_inputs",)

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def __missing__(self, name: str) -> object:
        value = self[name] = _VIEWS[name](self._inputs)
        return value


class Evaluated(Protocol):
    """What a name stands for that is evaluated when it is first read: a variable, or a risk model."""

    @property
    def evaluate(self) -> Callable[[Mapping[str, Any]], Any]:
        """Gives its value in a scope, or raises `EvalError`."""


class VariableScope(dict[str, object]):
    """The names of an outer scope, constants, and variables that are evaluated at most once, when first used."""

    __slots__ = ("_constants", "_failures", "_outer", "_programs")

    def __init__(
        self,
        outer: dict[str, object],
        programs: Mapping[str, Evaluated],
        constants: Mapping[str, object] = EMPTY,
    ) -> None:
        self._constants = constants
        self._outer = outer
        self._programs = programs
        self._failures: dict[str, str] = {}

    @property
    def outer(self) -> dict[str, object]:
        """The outer scope."""
        return self._outer

    def __missing__(self, name: str) -> object:
        if (program := self._programs.get(name)) is not None:
            value = self._evaluated(name, program)
        elif name in self._constants:
            value = self._constants[name]
        else:
            value = self._outer[name]
        self[name] = value
        return value

    def _evaluated(self, name: str, program: Evaluated) -> object:
        if name in self._failures:
            raise cel.EvalError(self._failures[name])
        try:
            return program.evaluate(self)
        except cel.EvalError as error:
            self._failures[name] = f"in `{name}`: {error}"
            raise cel.EvalError(self._failures[name]) from None
