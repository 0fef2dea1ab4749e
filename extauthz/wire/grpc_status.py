"""The outcome of a call as gRPC clients read it: headers of an answer that has trailers only.

The rule: a denied gRPC call names its own status. Without a `grpc-status` header Envoy makes one of the HTTP status,
and 400 would become INTERNAL, 302 UNKNOWN.
"""

from base64 import b64encode
from collections.abc import Mapping
from enum import IntEnum
from typing import Final
from urllib.parse import quote

from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed

DOMAIN: Final = "extauthz"

# The gRPC protocol over HTTP/2, Percent-Encoded: printable ASCII but `%` stands for itself.
_UNESCAPED: Final = "".join(chr(code) for code in range(0x20, 0x7F) if code != ord("%"))


class Code(IntEnum):
    """The status codes of gRPC that answers use."""

    OK = 0
    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_BY_HTTP: Final = {400: Code.INVALID_ARGUMENT, 401: Code.UNAUTHENTICATED, 503: Code.UNAVAILABLE}


def code_of(status: int) -> Code:
    """The code of a refusal with this HTTP status (design section 6); never OK."""
    return _BY_HTTP.get(status, Code.PERMISSION_DENIED)


def headers(code: Code, *, message: str, reason: str, metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of a refused call, with a google.rpc.ErrorInfo (AIP-193) that carries `metadata`."""
    status = Status(code=code, message=message)
    status.details.add().Pack(ErrorInfo(reason=reason.upper().replace("-", "_"), domain=DOMAIN, metadata=metadata))
    # Binary headers are base64 and may leave out the padding.
    details = b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")
    return (
        ("grpc-status", str(int(code))),
        ("grpc-message", quote(message, safe=_UNESCAPED)),
        ("grpc-status-details-bin", details),
    )
