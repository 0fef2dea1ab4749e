"""What the APIs that speak JSON have in common: the one object that is sent, and the problem document of a refusal.

The rules: what is sent is read once its size and its type are known to be good, and one text has one reading; a refusal
is a problem document (RFC 9457).
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from extauthz.identity.compact import Unreadable, json_object
from extauthz.wire import accept

MAX_OBJECT_BYTES: Final = 8192
_LONGEST_ACCEPT: Final = 4096
RETRY_SECONDS: Final = "5"
"""When to ask again what could not be done because of an outage."""


class JsonAnswer(JSONResponse):
    """JSON that ends its line: where somebody asks at a terminal, the prompt does not stand behind it."""

    def render(self, content: object) -> bytes:
        """The bytes of the body."""
        return super().render(content) + b"\n"


class Problem(Exception):
    """A refusal; `more` are members of its document beside those of RFC 9457."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status: Final = status
        content = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
        self.response: Final[Response] = JsonAnswer(
            {**content, **(more or {})}, status_code=status, headers=headers, media_type="application/problem+json"
        )


def wants_json(request: Request) -> bool:
    """Whether no person asks: a browser names what it shows."""
    return "text/html" not in accept.ranges(",".join(request.headers.getlist("accept"))[:_LONGEST_ACCEPT])


async def sent_object(request: Request, *, known: Collection[str], required: Collection[str]) -> Mapping[str, str]:
    """The members of the JSON object that was sent, all of them texts: none but those `known`, all that are `required`.

    Raises `Problem`.
    """
    # A form or a script of another origin can't send this type without being asked about it first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send `application/json`")
    try:
        members = json_object(await _body(request))
    except Unreadable as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"body: {error}") from None
    for name, value in members.items():
        if name not in known:
            raise Problem(HTTPStatus.BAD_REQUEST, f"body: unknown member `{name[:60]}`; known are {_listed(known)}")
        if not isinstance(value, str):
            raise Problem(HTTPStatus.BAD_REQUEST, f"body: `{name}` is no text")
    for name in sorted(required):
        if name not in members:
            raise Problem(HTTPStatus.BAD_REQUEST, f"body: missing member `{name}`")
    return members


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_OBJECT_BYTES:
                raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"longer than {MAX_OBJECT_BYTES} bytes")
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the request broke off") from None
    return bytes(body)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
