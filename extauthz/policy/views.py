"""What stands behind the names that a condition sees: views of a request, a caller and facts.

The rule kept here: what is not there is `cel.UNSET`, never a default value; what is there but can't be read in one
way raises `EvalError`.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from extauthz import cel
from extauthz.policy import body_views
from extauthz.values.grants import SessionAges
from extauthz.values.identity import User
from extauthz.values.quoting import given
from extauthz.values.request import HttpRequest, Peer, RequestView

Value = TypeVar("Value")


class OneEach(Mapping[str, str]):
    """Names to their only value; reading one that came more than once is an error."""

    __slots__ = ("_lists", "_what")

    def __init__(self, lists: Mapping[str, tuple[str, ...]], what: str) -> None:
        self._lists = lists
        self._what = what

    def __getitem__(self, name: str) -> str:
        values = self._lists[name]
        if len(values) != 1:
            raise cel.EvalError(f"the {self._what} {given(name)} came {len(values)} times")
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
        return _span(None if issued_at is None else self._now - issued_at)


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
        return _span(self._known("session.age").age)

    @property
    def idle(self) -> object:
        return _span(self._known("session.idle").idle)

    def _known(self, what: str) -> SessionAges:
        return self._unknown(what) if self._ages is None else self._ages

    def _unknown(self, what: str) -> NoReturn:
        raise cel.EvalError(f"`{what}` could not be looked up")


def read_once(read: Callable[[Any], Value]) -> "cached_property[Value]":
    """A property that is looked into once: what can't be read is not read again for the next condition that asks."""

    def look(fields: "RequestFields") -> Value:
        failed = fields.failures.get(read.__name__)
        if failed is not None:
            raise type(failed)(failed.message)
        try:
            return read(fields)
        except cel.EvalError as error:
            fields.failures[read.__name__] = error
            raise

    return cached_property(look)


class RequestFields:
    """The fields of `request` in an HTTP check. `failures` are those of fields that were looked into."""

    def __init__(self, check: RequestView, http: HttpRequest) -> None:
        """`http` is that of `check`."""
        self._http = http
        self._check = check
        self.failures: dict[str, cel.EvalError] = {}
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
        return _time(self._check.time)

    @read_once
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

    @read_once
    def json(self) -> object:
        return body_views.json_of(self._http)

    @read_once
    def form(self) -> Mapping[str, str]:
        return OneEach(body_views.form_of(self._http), "form field")

    @read_once
    def multipart(self) -> Mapping[str, object]:
        return body_views.multipart_of(self._http)

    @read_once
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


def _span(seconds: float | None) -> object:
    return cel.UNSET if seconds is None else cel.Duration(*timestamp_parts(seconds))


def timestamp_parts(seconds: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds of seconds since the epoch, or of a span."""
    whole = int(seconds // 1)
    return whole, int((seconds - whole) * 1_000_000_000)
