"""What a condition sees: the declared names with their types, and the views that stand behind them at run time.

The rule kept here: what is not there is an unset field, never a default value; what is there but can't be read in
one way raises `EvalError`. A view is built when a condition first reads its name, once per request.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from extauthz import cel
from extauthz.policy import body_views
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity, User
from extauthz.values.request import EMPTY, HttpRequest, Peer, RequestView

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
SESSION: Final = _struct("session", id=cel.STRING)
DEVICE: Final = _struct("device", id=cel.STRING, known=cel.BOOL)
GEO: Final = _struct("geo", country=cel.STRING, city=cel.STRING, asn=cel.INT, latitude=cel.DOUBLE, longitude=cel.DOUBLE)
CLIENT: Final = _struct("client", ip=cel.STRING)

PARAMS: Final = "request.params"
VARIABLES: Final = "variables."
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
    "geo": GEO,
    "client": CLIENT,
    "now": cel.TIMESTAMP,
}
"""Every name that any condition may use; a policy's `variables.…` come on top."""


class OneEach(Mapping[str, str]):
    """Names to their only value; reading one that came more than once is an error."""

    __slots__ = ("_lists", "_what")

    def __init__(self, lists: Mapping[str, tuple[str, ...]], what: str) -> None:
        self._lists = lists
        self._what = what

    def __getitem__(self, name: str) -> str:
        values = self._lists[name]
        if len(values) != 1:
            raise cel.EvalError(f"the {self._what} `{name[:60]}` came {len(values)} times")
        return values[0]

    def __contains__(self, name: object) -> bool:
        return name in self._lists

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)


class HeaderLists(Mapping[str, tuple[str, ...]]):
    """Header names in any case to every value (RFC 9110 section 5.1)."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[str, tuple[str, ...]]) -> None:
        self._headers = headers

    def __getitem__(self, name: object) -> tuple[str, ...]:
        if not isinstance(name, str):  # a key of type dyn may be anything
            raise KeyError(name)
        return self._headers[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._headers

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class Absent:
    """A structure with nothing behind it: every field is unset."""

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        return cel.UNSET


def _is_absent(value: object) -> bool:
    return value is None or value == "" or value == ()


class Attributes:
    """The attributes of a value, unset where they are `None` or empty."""

    __slots__ = ("_of",)

    def __init__(self, of: object) -> None:
        self._of = of

    def __getattr__(self, name: str) -> object:
        value = getattr(self._of, name)
        return cel.UNSET if _is_absent(value) else value


class Entries:
    """The entries of a mapping of facts, unset where there are none."""

    __slots__ = ("_of",)

    def __init__(self, of: Mapping[str, Any]) -> None:
        self._of = of

    def __getattr__(self, name: str) -> object:
        return self._of.get(name, cel.UNSET)


class UserFields(Attributes):
    """The fields of `user`; `token_age` is the time since the token was issued."""

    __slots__ = ("_now", "_user")

    def __init__(self, user: User, now: float) -> None:
        super().__init__(user)
        self._user = user
        self._now = now

    @property
    def claims(self) -> object:
        return self._user.claims

    @property
    def auth_time(self) -> object:
        return cel.UNSET if self._user.auth_time is None else cel.Timestamp(self._user.auth_time)

    @property
    def token_age(self) -> object:
        issued_at = self._user.issued_at
        return cel.UNSET if issued_at is None else cel.Duration(*_split(self._now - issued_at))


class RequestFields:
    """The fields of `request` in an HTTP check."""

    def __init__(self, http: HttpRequest, time: tuple[int, int]) -> None:
        self._http = http
        self._time = time
        self.method = http.method
        self.host = http.host
        self.path = http.path
        self.raw_path = http.raw_path
        self.truncated = http.body is None

    @property
    def id(self) -> object:
        return self._http.id or cel.UNSET

    @property
    def scheme(self) -> object:
        return self._http.scheme or cel.UNSET

    @property
    def protocol(self) -> object:
        return self._http.protocol or cel.UNSET

    @property
    def size(self) -> object:
        return self._http.size if self._http.size >= 0 else cel.UNSET

    @property
    def time(self) -> object:
        return _time(self._time)

    @cached_property
    def query_all(self) -> Mapping[str, tuple[str, ...]]:
        return body_views.pairs(self._http.raw_query, "the query")

    @property
    def query(self) -> Mapping[str, str]:
        return OneEach(self.query_all, "query parameter")

    @cached_property
    def header_values(self) -> Mapping[str, tuple[str, ...]]:
        return HeaderLists(self._http.headers)

    @property
    def headers(self) -> Mapping[str, str]:
        return OneEach(self.header_values, "header")

    @property
    def body(self) -> bytes:
        return body_views.known_body(self._http)

    @cached_property
    def json(self) -> object:
        return body_views.json_of(self._http)

    @cached_property
    def form(self) -> Mapping[str, str]:
        return OneEach(body_views.form_of(self._http), "form field")


class TcpFields(Absent):
    """The fields of `request` in a TCP check: its time, nothing else."""

    __slots__ = ("time",)

    def __init__(self, time: tuple[int, int]) -> None:
        self.time = _time(time)


class TlsFields:
    """The fields of `tls`."""

    def __init__(self, check: RequestView) -> None:
        self._certificate = check.source.certificate
        self.sni = check.sni or cel.UNSET

    @property
    def peer_certificate_sha256(self) -> object:
        return _fingerprint(self._certificate) if self._certificate else cel.UNSET


class PeerFields:
    """The fields of `source` and `destination`."""

    __slots__ = ("ip", "port", "principal")

    def __init__(self, peer: Peer) -> None:
        self.ip = peer.ip or cel.UNSET
        self.port = peer.port or cel.UNSET
        self.principal = peer.principal or cel.UNSET


_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def _fingerprint(certificate: str) -> str:
    """The SHA-256 in hex of a URL-encoded PEM certificate; of the first, if a chain follows."""
    pem = _PEM.match(unquote_to_bytes(certificate))
    if pem is None:
        raise cel.EvalError("the peer certificate is not PEM")
    try:
        return sha256(base64.b64decode(b"".join(pem[1].split()), validate=True)).hexdigest()
    except binascii.Error:
        raise cel.EvalError("the peer certificate is not PEM") from None


def _time(time: tuple[int, int]) -> object:
    return cel.UNSET if time == (0, 0) else cel.Timestamp(*time)


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds // 1)
    return whole, int((seconds - whole) * 1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that a condition can depend on. `now` is in seconds since the epoch."""

    request: RequestView
    identity: Identity
    facts: Facts
    now: float


def _request(inputs: Inputs) -> object:
    http, time = inputs.request.http, inputs.request.time
    return RequestFields(http, time) if http is not None else TcpFields(time)


def _workload(inputs: Inputs) -> object:
    return Absent() if inputs.identity.workload is None else Attributes(inputs.identity.workload)


def _user(inputs: Inputs) -> object:
    return Absent() if inputs.identity.user is None else UserFields(inputs.identity.user, inputs.now)


def _session(inputs: Inputs) -> object:
    return Entries({"id": inputs.identity.session} if inputs.identity.session is not None else EMPTY)


def _client(inputs: Inputs) -> object:
    return Entries({"ip": inputs.identity.client_ip} if inputs.identity.client_ip else EMPTY)


_VIEWS: Final[Mapping[str, Callable[[Inputs], object]]] = {
    "request": _request,
    "source": lambda inputs: PeerFields(inputs.request.source),
    "destination": lambda inputs: PeerFields(inputs.request.destination),
    "tls": lambda inputs: TlsFields(inputs.request),
    "workload": _workload,
    "user": _user,
    "session": _session,
    "device": lambda inputs: Entries(inputs.facts.device),
    "context": lambda inputs: inputs.request.context,
    "metadata": lambda inputs: inputs.request.metadata,
    "geo": lambda inputs: Entries(inputs.facts.geo),
    "client": _client,
    "now": lambda inputs: cel.Timestamp(*_split(inputs.now)),
}


class RequestScope(dict[str, object]):
    """The names that all policies share, each built when it is first read."""

    __slots__ = ("_inputs",)

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self._inputs = inputs

    def __missing__(self, name: str) -> object:
        value = self[name] = _VIEWS[name](self._inputs)
        return value


class VariableScope(dict[str, object]):
    """The names of an outer scope, and variables that are evaluated at most once, when first used."""

    __slots__ = ("_failures", "_outer", "_programs")

    def __init__(self, outer: dict[str, object], programs: Mapping[str, cel.Program]) -> None:
        super().__init__()
        self._outer = outer
        self._programs = programs
        self._failures: dict[str, str] = {}

    def __missing__(self, name: str) -> object:
        program = self._programs.get(name)
        value = self[name] = self._outer[name] if program is None else self._evaluated(name, program)
        return value

    def _evaluated(self, name: str, program: cel.Program) -> object:
        if name in self._failures:
            raise cel.EvalError(self._failures[name])
        try:
            return program(self)
        except cel.EvalError as error:
            self._failures[name] = f"in `{name}`: {error}"
            raise cel.EvalError(self._failures[name]) from None
