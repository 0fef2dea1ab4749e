"""What stands behind the names that a condition sees: views of a request, a caller and facts.

The rule kept here: what is not there is `cel.UNSET`, never a default value; what is there but can't be read in one
way raises `EvalError`.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from operator import attrgetter
from typing import Any, Generic, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from extauthz import cel
from extauthz.policy import body_views
from extauthz.policy.header_texts import OneLineTexts
from extauthz.values.grants import SessionAges
from extauthz.values.headers import Headers, OneLineEach
from extauthz.values.identity import User, Workload
from extauthz.values.quoting import given
from extauthz.values.request import EMPTY, HttpRequest, Peer, RequestView

Value = TypeVar("Value")


class OneEach(Mapping[str, str]):
    """Names to their only value; reading one that came more than once is an error."""

    __slots__ = ("_lists", "_what")

    def __init__(self, lists: Mapping[str, tuple[str, ...]], what: str) -> None:
        self._lists = lists
        self._what = what

    def __getitem__(self, name: str) -> str:
        values = self._lists[name]
        return values[0] if len(values) == 1 else self._several(name, values)

    def _several(self, name: str, values: tuple[str, ...]) -> NoReturn:
        raise cel.EvalError(f"the {self._what} {given(name)} came {len(values)} times")

    def __contains__(self, name: object) -> bool:
        return name in self._lists

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)


class HeaderTexts(OneEach):
    """Header names in any case to their only value."""

    __slots__ = ()

    def __init__(self, headers: Mapping[str, tuple[str, ...]]) -> None:
        self._lists = headers
        self._what = "header"

    def __getitem__(self, name: object) -> str:
        if not isinstance(name, str):  # a key of type dyn may be anything
            raise KeyError(name)
        values = self._lists[name.lower()]
        return values[0] if len(values) == 1 else self._several(name, values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._lists


def header_texts(headers: Headers) -> Mapping[str, str]:
    """Header names in any case to their only value."""
    if type(headers) is OneLineEach:
        return OneLineTexts(headers.places, headers.lines)
    return HeaderTexts(headers)


class HeaderLists(Mapping[str, tuple[str, ...]]):
    """Header names in any case to every value (RFC 9110 section 5.1)."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
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


class Present(property):
    """A field that is an attribute of what stands behind the view, unset where that is `None` or empty."""

    def __init__(self, name: str) -> None:
        read = attrgetter(name)

        def look(view: "WorkloadFields | UserFields") -> object:
            value = read(view.of)
            absent = not value and (value is None or value == "" or value == ())
            return cel.UNSET if absent else value

        super().__init__(look)


class WorkloadFields:
    """The fields of `workload`, which is there."""

    __slots__ = ("of",)

    def __init__(self, of: Workload) -> None:
        self.of = of

    id = Present("id")
    trust_domain = Present("trust_domain")
    path = Present("path")
    namespace = Present("namespace")
    service_account = Present("service_account")
    verified_by = Present("verified_by")
    attributes = Present("attributes")


class UserFields:
    """The fields of `user`, who is there; `token_age` is the time since the token was issued."""

    __slots__ = ("_now", "of")

    def __init__(self, of: User, now: float) -> None:
        self.of = of
        self._now = now

    sub = Present("sub")
    iss = Present("iss")
    aud = Present("aud")
    groups = Present("groups")
    amr = Present("amr")
    acr = Present("acr")
    actor = Present("actor")
    verified_by = Present("verified_by")

    @property
    def claims(self) -> object:
        return self.of.claims

    @property
    def auth_time(self) -> object:
        return cel.UNSET if self.of.auth_time is None else cel.Timestamp(self.of.auth_time)

    @property
    def token_age(self) -> object:
        issued_at = self.of.issued_at
        return span(None if issued_at is None else self._now - issued_at)


class Entries:
    """The entries of a mapping of facts, unset where there are none.

    As attributes of its own: Python finds them at a tenth of what it costs to be asked for each.
    """

    def __init__(self, of: Mapping[str, Any]) -> None:
        self.__dict__.update(of)

    def __getattr__(self, name: str) -> object:
        return cel.UNSET


class SessionFields:
    """The fields of `session`, which is there; `ages` are `None` if nobody could look them up."""

    __slots__ = ("_ages", "_session")

    def __init__(self, session: str, ages: SessionAges | None) -> None:
        self._session = session
        self._ages = ages

    @property
    def id(self) -> object:
        return self._session

    @property
    def age(self) -> object:
        return span(self._known("session.age").age)

    @property
    def idle(self) -> object:
        return span(self._known("session.idle").idle)

    def _known(self, what: str) -> SessionAges:
        return self._unknown(what) if self._ages is None else self._ages

    def _unknown(self, what: str) -> NoReturn:
        raise cel.EvalError(f"`{what}` could not be looked up")


class ReadOnce(Generic[Value]):
    """A property that is looked into once: what can't be read is not read again for the next condition that asks.

    Unlike `functools.cached_property` it takes no lock: no two threads decide one request.
    """

    __slots__ = ("_name", "_read")

    def __init__(self, read: Callable[[Any], Value]) -> None:
        self._read = read
        self._name = read.__name__

    def __get__(self, fields: "RequestFields", owner: object = None) -> Value:
        """The value, which takes the place of this property in `fields`."""
        failed = fields.failures.get(self._name)
        if failed is not None:
            raise type(failed)(failed.message)
        try:
            value = self._read(fields)
        except cel.EvalError as error:
            fields.failures = {**fields.failures, self._name: error}
            raise
        fields.__dict__[self._name] = value
        return value


class Sent(property):
    """A field that is an attribute of the HTTP request, and always set."""

    def __init__(self, name: str) -> None:
        super().__init__(attrgetter("_http." + name))


class RequestFields(msgspec.Struct, dict=True, eq=False):
    """The fields of `request` in an HTTP check. `failures` are those of fields that were looked into.

    `_http` is that of `_check`, and `headers` are its `header_texts`.
    """

    _check: RequestView
    _http: HttpRequest
    headers: Mapping[str, str]
    failures: Mapping[str, cel.EvalError] = EMPTY

    __repr__ = object.__repr__  # a request may hold secrets

    method = Sent("method")
    host = Sent("host")
    path = Sent("path")
    raw_path = Sent("raw_path")

    @property
    def truncated(self) -> bool:
        return self._http.body is None

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
        return _time(self._check.time)

    @ReadOnce
    def query_all(self) -> Mapping[str, tuple[str, ...]]:
        return body_views.pairs(self._http.raw_query, "the query")

    @ReadOnce
    def query(self) -> Mapping[str, str]:
        lists = self.query_all
        texts = {name: values[0] for name, values in lists.items() if len(values) == 1}
        return texts if len(texts) == len(lists) else OneEach(lists, "query parameter")

    @property
    def header_values(self) -> Mapping[str, tuple[str, ...]]:
        return HeaderLists(self._http.headers)

    @property
    def body(self) -> bytes:
        return body_views.known_body(self._http)

    @ReadOnce
    def json(self) -> object:
        return body_views.json_of(self._http)

    @ReadOnce
    def form(self) -> Mapping[str, str]:
        return OneEach(body_views.form_of(self._http), "form field")

    @ReadOnce
    def multipart(self) -> Mapping[str, object]:
        return body_views.multipart_of(self._http)

    @ReadOnce
    def grpc(self) -> Mapping[str, object]:
        return body_views.grpc_of(self._http, self._check.messages)


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
        return certificate_sha256(self._certificate) if self._certificate else cel.UNSET


class PeerFields:
    """The fields of `source` and `destination`."""

    __slots__ = ("ip", "port", "principal")

    def __init__(self, peer: Peer) -> None:
        self.ip = peer.ip or cel.UNSET
        self.port = peer.port or cel.UNSET
        self.principal = peer.principal or cel.UNSET


_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def certificate_sha256(certificate: str) -> str:
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


def span(seconds: float | None) -> object:
    """Seconds as a duration; unset where nobody knows them."""
    return cel.UNSET if seconds is None else cel.Duration(*timestamp_parts(seconds))


def timestamp_parts(seconds: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds of seconds since the epoch, or of a span."""
    whole = int(seconds // 1)
    return whole, int((seconds - whole) * 1_000_000_000)
