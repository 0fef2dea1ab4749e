"""Who reads the answer: which form a refusal or a challenge takes (design section 4).

The rule: only what a browser shows to a person is redirected or answered with a page; a preflight never is.
"""

import re
from typing import Final

from google.protobuf.message import DecodeError

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.values.request import Caller, HttpRequest, RequestView

_GRPC: Final = re.compile(r"application/grpc(?:-web(?:-text)?)?(?=[+; \t]|\Z)", re.IGNORECASE)
_HTML: Final = re.compile(r"(?:^|,)[ \t]*text/html[ \t]*(?=[;,]|\Z)", re.IGNORECASE)
_TOKEN: Final = re.compile(r"(?:bearer|dpop) ", re.IGNORECASE)
# What a form can send without a script (the HTML standard, form submission).
_FORM: Final = re.compile(
    r"(?:application/x-www-form-urlencoded|multipart/form-data|text/plain)[ \t]*(?=;|\Z)", re.IGNORECASE
)
_READS: Final = frozenset({"GET", "HEAD"})


def classify(request: RequestView) -> Caller:
    """The caller of `request`: by method and headers alone, none of which grants anything."""
    http = request.http
    if http is None:
        return Caller.TCP
    # CORS preflight (the Fetch standard, section 4.9).
    if http.method == "OPTIONS" and "origin" in http.headers and "access-control-request-method" in http.headers:
        return Caller.PREFLIGHT
    if _GRPC.match(http.header("content-type") or "") is not None:
        return Caller.GRPC
    mode = http.headers.get("sec-fetch-mode")
    if mode is None:
        return _without_fetch_metadata(http)
    if mode != ("navigate",):
        return Caller.API
    return Caller.NAVIGATION if http.method in _READS else Caller.FORM_POST


def guess(payload: bytes) -> Caller:
    """The caller of a Check that `decode` has refused: gRPC if it says so anywhere, else an API.

    Only for the form of the refusal. A gRPC client that got a plain 400 would read INTERNAL.
    """
    try:
        http = CheckRequest.FromString(payload).attributes.request.http
    except DecodeError:
        return Caller.API
    sent = [http.headers["content-type"]] if "content-type" in http.headers else []
    sent += [line.raw_value.decode(errors="replace") for line in http.header_map.headers if line.key == "content-type"]
    return Caller.GRPC if any(_GRPC.match(value) for value in sent) else Caller.API


def _without_fetch_metadata(http: HttpRequest) -> Caller:
    """The caller behind a browser that sends no `Sec-Fetch-Mode`, or behind no browser."""
    accept = http.headers.get("accept")
    if accept is None or _HTML.search(",".join(accept)) is None:
        return Caller.API
    if _TOKEN.match(http.header("authorization") or "") is not None:
        return Caller.API
    if http.method == "GET":
        return Caller.NAVIGATION
    if http.method == "POST" and _FORM.match(http.header("content-type") or "") is not None:
        return Caller.FORM_POST
    return Caller.API
