"""Who reads the answer, and in what form (design section 4).

The rule: only what a browser shows to a person is redirected; a preflight never is. Everyone else gets what they
accept, and callers of a protocol that has errors of its own get one of these.
"""

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache, lru_cache
from typing import Final, NamedTuple, assert_never

import msgspec
from google.protobuf.message import DecodeError

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.values.headers import Headers
from extauthz.values.request import Caller, RequestView
from extauthz.wire import accept, jsonrpc
from extauthz.wire.headers import MOST
from extauthz.wire.jsonrpc import Calls
from extauthz.wire.size import is_too_large

_GRPC: Final = re.compile(r"application/grpc(?=[+; \t]|\Z)", re.IGNORECASE)
_GRPC_WEB: Final = re.compile(r"application/grpc-web(?:-text)?(?=[+; \t]|\Z)", re.IGNORECASE)
_TOKEN: Final = re.compile(r"(?:bearer|dpop) ", re.IGNORECASE)
# What a form can send without a script (the HTML standard, form submission).
_FORM: Final = re.compile(
    r"(?:application/x-www-form-urlencoded|multipart/form-data|text/plain)[ \t]*(?=;|\Z)", re.IGNORECASE
)
# What JSON-RPC is sent as.
_JSON: Final = re.compile(r"application/(?:json|json-rpc|jsonrequest)[ \t]*(?=;|\Z)", re.IGNORECASE)
_READS: Final = frozenset({"GET", "HEAD"})
_PARTIAL: Final = "x-envoy-auth-partial-body"
_READ: Final = frozenset(
    {
        _PARTIAL,
        "accept",
        "access-control-request-method",
        "authorization",
        "connect-protocol-version",
        "content-type",
        "origin",
        "sec-fetch-mode",
        "x-grpc-web",
    }
)
"""The headers that tell callers apart."""
_LONGEST_ACCEPT: Final = 4_096
_LONGEST_KEPT: Final = 512
"""Characters by which a caller is told from others who come again."""


class Form(Enum):
    """What a refusal is written in."""

    PAGE = "page"
    PROBLEM = "problem"
    TEXT = "text"
    GRPC = "grpc"
    GRPC_WEB = "grpc-web"
    CONNECT = "connect"
    JSON_RPC = "json-rpc"
    NOTHING = "nothing"


_TYPES: Final[Mapping[Form, tuple[str, ...]]] = {
    Form.PAGE: ("text/html",),
    # Who asks for JSON gets a problem document: it is some.
    Form.PROBLEM: ("application/problem+json", "application/json"),
    Form.TEXT: ("text/plain",),
}
# Of what is equally welcome, the first.
_FOR_PEOPLE: Final = (Form.PAGE, Form.PROBLEM, Form.TEXT)
_FOR_PROGRAMS: Final = (Form.PROBLEM, Form.TEXT, Form.PAGE)


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads the answer, and what they can read; `calls` are those that an answer in JSON-RPC is about."""

    caller: Caller
    form: Form
    calls: Calls | None = None


NOBODY_KNOWN: Final = Reader(caller=Caller.API, form=Form.PROBLEM)
"""Who reads the answer to what is no Check at all."""
_WITH_CALLS: Final = (Caller.API, Caller.PREFLIGHT)
"""Whose body may be one of JSON-RPC."""


def classify(request: RequestView) -> Caller:
    """The caller of `request`: by method and headers alone, none of which grants anything."""
    http = request.http
    if http is None:
        return Caller.TCP
    return _caller(_signs(http.method, http.headers))


def reader(request: RequestView) -> Reader:
    """Who reads the answer to `request`."""
    http = request.http
    if http is None:
        return _of_form(Caller.TCP, Form.NOTHING)
    return _reader(http.method, http.headers, http.body)


def guess(payload: bytes) -> Reader:
    """Who reads the answer to a Check that `decode` has refused; only for the form of the refusal.

    Nothing of it is checked. A gRPC client that got a plain 400 would read INTERNAL, a person a problem document.
    """
    if is_too_large(payload):
        return NOBODY_KNOWN
    try:
        http = CheckRequest.FromString(payload).attributes.request.http
    except DecodeError:
        return NOBODY_KNOWN
    if len(http.headers) + len(http.header_map.headers) > MOST:
        return NOBODY_KNOWN
    headers: dict[str, tuple[str, ...]] = {}
    for key, value in http.headers.items():
        if (name := key.lower()) in _READ:
            headers[name] = (*headers.get(name, ()), value)
    for line in http.header_map.headers:
        if (name := line.key.lower()) in _READ:
            headers[name] = (*headers.get(name, ()), line.raw_value.decode(errors="replace") or line.value)
    body = http.raw_body or http.body.encode() if headers.get(_PARTIAL) == ("false",) else None
    return _reader(http.method, headers, body)


class _Signs(NamedTuple):
    """What tells callers apart, beside what they send in a body."""

    method: str
    content_type: str
    accepted: str
    mode: tuple[str, ...] | None
    is_preflight: bool
    has_token: bool
    speaks_grpc_web: bool
    speaks_connect: bool


def _signs(method: str, headers: Headers) -> _Signs:
    mode = headers.get("sec-fetch-mode")
    return _Signs(
        method,
        _single(headers, "content-type"),
        _accept(headers),
        mode,
        # CORS preflight (the Fetch standard, section 4.9).
        method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers,
        mode is None and _TOKEN.match(_single(headers, "authorization")) is not None,
        "x-grpc-web" in headers,
        "connect-protocol-version" in headers,
    )


def _caller(signs: _Signs) -> Caller:
    if signs.is_preflight:
        return Caller.PREFLIGHT
    if _GRPC.match(signs.content_type) is not None or _GRPC_WEB.match(signs.content_type) is not None:
        return Caller.GRPC
    if signs.mode is None:
        return _without_fetch_metadata(signs)
    if signs.mode != ("navigate",):
        return Caller.API
    return Caller.NAVIGATION if signs.method in _READS else Caller.FORM_POST


def _without_fetch_metadata(signs: _Signs) -> Caller:
    """The caller behind a browser that sends no `Sec-Fetch-Mode`, or behind no browser."""
    # A program that takes anything is no browser: that one names what it shows.
    if not _names_html(signs.accepted) or signs.has_token:
        return Caller.API
    if signs.method == "GET":
        return Caller.NAVIGATION
    if signs.method == "POST" and _FORM.match(signs.content_type) is not None:
        return Caller.FORM_POST
    return Caller.API


def _reader(method: str, headers: Headers, body: bytes | None) -> Reader:
    signs = _signs(method, headers)
    is_short = len(method) + len(signs.content_type) + len(signs.accepted) <= _LONGEST_KEPT
    found = _kept_reader(signs) if is_short else _reader_by(signs)
    if body is not None and found.caller in _WITH_CALLS and (calls := _calls(method, signs.content_type, body)):
        return Reader(caller=found.caller, form=Form.JSON_RPC, calls=calls)
    return found


def _reader_by(signs: _Signs) -> Reader:
    caller = _caller(signs)
    match caller:
        case Caller.GRPC:
            # Where Envoy translates gRPC-Web before it asks, the content type is that of gRPC.
            web = signs.speaks_grpc_web or _GRPC.match(signs.content_type) is None
            return _of_form(caller, Form.GRPC_WEB if web else Form.GRPC)
        case Caller.NAVIGATION | Caller.FORM_POST:
            return _of_form(caller, _preferred(signs.accepted, _FOR_PEOPLE))
        case Caller.API | Caller.PREFLIGHT:
            # Connect's unary calls; its streams read the status (the Connect protocol, error codes).
            return _of_form(caller, Form.CONNECT if signs.speaks_connect else _preferred(signs.accepted, _FOR_PROGRAMS))
        case Caller.TCP:
            return _of_form(caller, Form.NOTHING)
        case _:
            assert_never(caller)


# Callers differ in many ways, and in few that they say here.
_kept_reader = lru_cache(maxsize=512)(_reader_by)


@cache
def _of_form(caller: Caller, form: Form) -> Reader:
    return Reader(caller=caller, form=form)


def _calls(method: str, content_type: str, body: bytes | None) -> Calls | None:
    if method != "POST" or body is None or _JSON.match(content_type) is None:
        return None
    return jsonrpc.read(body)


def _accept(headers: Headers) -> str:
    accepted = ",".join(headers.get("accept", ()))
    # What was read of it is kept, and nobody's is so long.
    return accepted if len(accepted) <= _LONGEST_ACCEPT else ""


# Callers differ in many ways, and in few that they say here.
@lru_cache(maxsize=512)
def _preferred(accepted: str, order: tuple[Form, ...]) -> Form:
    """The form that is most welcome; the first if nothing is said or nothing fits (RFC 9110 section 12.5.1)."""
    ranges = accept.ranges(accepted)
    return max(order, key=lambda form: accept.weight(ranges, _TYPES[form]))


@lru_cache(maxsize=512)
def _names_html(accepted: str) -> bool:
    """Whether a page is what is most welcome, and named."""
    return bool(accept.ranges(accepted).get("text/html")) and _preferred(accepted, _FOR_PEOPLE) is Form.PAGE


def _single(headers: Headers, name: str) -> str:
    """The only value of a header, else nothing."""
    values = headers.get(name, ())
    return values[0] if len(values) == 1 else ""
