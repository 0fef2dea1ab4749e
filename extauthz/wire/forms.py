"""A refusal in the form that its reader reads: page, problem document, text, or an error of a protocol.

The rule: every form says the same, its own headers describe its own body, and nothing of it may be cached or sniffed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

import msgspec
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed

from extauthz.values.request import empty
from extauthz.wire import grpc_status, jsonrpc
from extauthz.wire.caller import Form, Reader
from extauthz.wire.page import HEADERS as PAGE_HEADERS
from extauthz.wire.page import page
from extauthz.wire.sayable import DECISION_ID
from extauthz.wire.wording import heading, title

Headers = tuple[tuple[str, str], ...]

NO_STORE: Final = ("cache-control", "no-store")
NOSNIFF: Final = ("x-content-type-options", "nosniff")
_NO_BODY: Final = frozenset({204, 205, 304})
_OK: Final = 200


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response of ours. A name occurs once, but for `set-cookie`; `fixed` are those that are alike in many."""

    status: int
    fixed: Headers
    headers: Headers
    body: str = ""

    def with_headers(self, given: Mapping[str, str]) -> "Refusal":
        """The same with these, by lower-case name, in place of its own."""
        fixed = tuple(pair for pair in self.fixed if pair[0] not in given)
        own = tuple(pair for pair in self.headers if pair[0] not in given)
        return Refusal(status=self.status, fixed=fixed, headers=(*own, *given.items()), body=self.body)


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's own body, for those who read any; `content_type` is what it is."""

    text: str
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What every form says.

    `members` extend the problem document (RFC 9457 section 3.2) and are details elsewhere; `link` is the address where
    a person goes on, and its words. `retry_after` in seconds. `body` takes the place of a page, a problem document or a
    text, and is the message of an error of a protocol.
    """

    status: int
    reason: str
    detail: str
    decision_id: str
    headers: Headers = ()
    members: Mapping[str, object] = field(default_factory=empty)
    link: tuple[str, str] | None = None
    retry_after: int | None = None
    body: Body | None = None

    @property
    def problem(self) -> dict[str, object]:
        """The problem document (RFC 9457 section 3)."""
        problem: dict[str, object] = {
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "decision_id": self.decision_id,
        }
        return problem | self.extensions

    @property
    def extensions(self) -> dict[str, object]:
        """The members that only some problems have."""
        return dict(self.members) if self.retry_after is None else {**self.members, "retry_after": self.retry_after}

    @property
    def message(self) -> str:
        """The words of an error of a protocol."""
        return self.detail if self.body is None else self.body.text


def render(told: Told, reader: Reader) -> Refusal:
    """The refusal as `reader` reads it."""
    status, fixed, own, body = _form(told, reader)
    if status in _NO_BODY:
        fixed, body = _NO_CONTENT, ""
    retry: Headers = () if told.retry_after is None else (("retry-after", str(told.retry_after)),)
    headers = ((DECISION_ID, told.decision_id), *own, *retry, *told.headers)
    return Refusal(status=status, fixed=fixed, headers=headers, body=body)


def _form(told: Told, reader: Reader) -> tuple[int, Headers, Headers, str]:
    """Status, headers that are alike in many answers, those that are not, and the body."""
    status = told.status
    match reader.form:
        case Form.NOTHING:
            return status, _NO_CONTENT, (), ""
        case Form.GRPC:
            return status, _NO_CONTENT, grpc_status.headers(_grpc_status(told)), ""
        case Form.GRPC_WEB:
            # Trailers only, in the headers. Clients look at them only if the status is 200 (PROTOCOL-WEB). The content
            # type, in either variant, is Envoy's affair: it takes that of an answer without a body away.
            return _OK, _NO_CONTENT, grpc_status.headers(_grpc_status(told)), ""
        case Form.CONNECT:
            error = grpc_status.connect_error(_grpc_status(told))
            return status, _content("application/json"), (), _json(error)
        case Form.JSON_RPC:
            assert reader.calls is not None  # noqa: S101 - they are why it is this form
            text = jsonrpc.error(reader.calls, message=told.message, problem=told.problem)
            return status, _content(jsonrpc.CONTENT_TYPE), (), text
        case Form.PAGE | Form.PROBLEM | Form.TEXT if told.body is not None:
            return status, _content(told.body.content_type), (), told.body.text
        case Form.PAGE:
            text = page(
                heading=heading(told.reason, status),
                detail=told.detail,
                reason=told.reason,
                decision_id=told.decision_id,
                link=told.link,
            )
            return status, (NO_STORE, *PAGE_HEADERS), (), text
        case Form.PROBLEM:
            return status, _PROBLEM, (), f"{_json(told.problem)}\n"  # at a terminal the prompt does not stand behind it
        case Form.TEXT:
            return status, _content("text/plain; charset=utf-8"), (), _text(told)
        case _:
            assert_never(reader.form)


def _content(content_type: str) -> Headers:
    return (NO_STORE, ("content-type", content_type), NOSNIFF)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


_NO_CONTENT: Final = (NO_STORE,)
_PROBLEM: Final = _content("application/problem+json")


def _text(told: Told) -> str:
    """The detail, and the other members line by line."""
    members = {"reason": told.reason, "decision_id": told.decision_id, **_flat(told.extensions)}
    return "\n".join([told.detail, "", *(f"{name}: {value}" for name, value in members.items()), ""])


def _grpc_status(told: Told) -> Status:
    return grpc_status.details(
        grpc_status.code_for_client(told.status),
        message=told.message,
        reason=told.reason,
        metadata={"decision_id": told.decision_id, **_flat(told.extensions)},
        retry_after=told.retry_after,
    )


def _flat(members: Mapping[str, object]) -> dict[str, str]:
    """Members as text, where a form has no structure."""
    return {name: value if isinstance(value, str) else _json(value) for name, value in members.items()}
