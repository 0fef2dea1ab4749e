"""The outcome of a call as gRPC clients read it: headers of an answer that has trailers only.

The rule: a denied gRPC call names its own status. Without a `grpc-status` header Envoy makes one of the HTTP status,
and 400 would become INTERNAL, 302 UNKNOWN.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import IntEnum
from typing import Final
from urllib.parse import quote

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed

DOMAIN: Final = "extauthz"
DETAILS: Final = "grpc-status-details-bin"
"""The header with a google.rpc.Status."""

# A client takes some 8 KiB of headers; with more of them it would read another error than ours.
_LONGEST_MESSAGE: Final = 500
_LONGEST_DETAILS: Final = 4_000
# The gRPC protocol over HTTP/2, Percent-Encoded: printable ASCII but `%` stands for itself.
_UNESCAPED: Final = "".join(chr(code) for code in range(0x20, 0x7F) if code != ord("%"))


class Code(IntEnum):
    """The status codes of gRPC that answers use."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_BY_HTTP: Final = {400: Code.INVALID_ARGUMENT, 401: Code.UNAUTHENTICATED, 503: Code.UNAVAILABLE}
# google.rpc.Code, HTTP mapping. These statuses come from rules alone.
_FOR_CLIENT: Final = _BY_HTTP | {
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    504: Code.DEADLINE_EXCEEDED,
}


def code_of(status: int) -> Code:
    """What Envoy is told of a refusal with this HTTP status (design section 6); never OK."""
    return _BY_HTTP.get(status, Code.PERMISSION_DENIED)


def code_for_client(status: int) -> Code:
    """What a gRPC client is told of a refusal with this HTTP status; never OK."""
    return _FOR_CLIENT.get(status, Code.PERMISSION_DENIED)


def details(code: Code, *, message: str, reason: str, metadata: Mapping[str, str], retry_after: int | None) -> Status:
    """A google.rpc.Status with an ErrorInfo (AIP-193) that carries `metadata`, and a RetryInfo where there is a time.

    Of a message that is too long only the beginning is said, and of metadata only `decision_id`.
    """
    short = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"
    status = Status(code=code, message=short)
    kept = metadata if sum(map(len, metadata.values())) <= _LONGEST_DETAILS else _only_id(metadata)
    _add(status, ErrorInfo(reason=reason.upper().replace("-", "_"), domain=DOMAIN, metadata=kept))
    if retry_after is not None:
        delay = RetryInfo()
        delay.retry_delay.seconds = retry_after
        _add(status, delay)
    return status


def headers(status: Status) -> tuple[tuple[str, str], ...]:
    """The headers of a refused call."""
    return (
        ("grpc-status", str(status.code)),
        ("grpc-message", quote(status.message, safe=_UNESCAPED)),
        (DETAILS, binary(status.SerializeToString(deterministic=True)).decode()),
    )


def binary(value: bytes) -> bytes:
    """A binary header: base64, which may leave out the padding."""
    return b64encode(value).rstrip(b"=")


def of_binary(header: bytes) -> bytes:
    """What `binary` made a header of."""
    return b64decode(header + b"==")


def connect_error(status: Status) -> dict[str, object]:
    """The error of a unary call in the Connect protocol; details are base64 without padding."""
    return {
        "code": Code(status.code).name.lower(),
        "message": status.message,
        "details": [
            {
                "type": detail.type_url.rpartition("/")[2],
                "value": b64encode(detail.value).decode().rstrip("="),
            }
            for detail in status.details
        ],
    }


def _add(status: Status, detail: Message) -> None:
    name, value = detail.DESCRIPTOR.full_name, detail.SerializeToString(deterministic=True)
    status.details.add(type_url=f"type.googleapis.com/{name}", value=value)


def _only_id(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name == "decision_id"}
