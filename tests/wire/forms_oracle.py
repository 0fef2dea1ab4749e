"""What every refusal must be in every form, said a second time and in a table: the oracle of the tests of answers.

Nothing of the package's own code decides here; only what has a grammar of its own (HTML, JSON, protobuf) is parsed.
"""

import json
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final

from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed
from wire.answers import BY_FORM, Answer

# What each form is told by, and as what its body is read.
FAMILIES: Final = {
    "navigation": "page",
    "form-post": "page",
    "api": "problem",
    "preflight": "problem",
    "text": "text",
    "grpc": "grpc",
    "grpc-web": "grpc-web",
    "grpc-web-text": "grpc-web",
    "grpc-web-translated": "grpc-web",
    "connect": "connect",
    "json-rpc": "json-rpc",
    "tcp": "nothing",
}
assert FAMILIES.keys() == BY_FORM.keys()
_CONTENT_TYPES: Final = {
    "page": "text/html; charset=utf-8",
    "problem": "application/problem+json",
    "text": "text/plain; charset=utf-8",
    "connect": "application/json",
    "json-rpc": "application/json",
    "grpc": None,
    "grpc-web": None,
    "nothing": None,
}
# Design section 6; Envoy reads it.
_TO_ENVOY: Final = {400: 3, 401: 16, 503: 14}
# google.rpc.Code; whoever calls by gRPC reads it.
_TO_CLIENT: Final = {400: 3, 401: 16, 404: 5, 409: 10, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
_CONNECT: Final = {
    3: "invalid_argument", 4: "deadline_exceeded", 5: "not_found", 7: "permission_denied", 8: "resource_exhausted",
    10: "aborted", 12: "unimplemented", 13: "internal", 14: "unavailable", 16: "unauthenticated",
}  # fmt: skip
_DENIED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a caller can read from an answer in its form."""

    reason: str
    decision_id: str
    retry_after: int | None = None


def check_refusal(said: Answer, form: str, *, status: int, told: Told | None) -> None:
    """Hold an answer against the table. `told` is what its reader must be able to read, `None` if that is left open."""
    family = FAMILIES[form]
    assert said.is_explicit
    assert said.code == _TO_ENVOY.get(status, _DENIED)
    assert said.status == (200 if family == "grpc-web" else status)
    headers = said.denied
    assert headers["cache-control"] == "no-store"
    assert headers["x-extauthz-decision-id"] == said.facts["decision_id"]
    assert "transfer-encoding" not in headers
    if family in ("grpc", "grpc-web"):
        assert headers["grpc-status"] == str(_TO_CLIENT.get(status, _DENIED))
        assert headers["grpc-message"]
    else:
        assert not any(name.startswith("grpc-") for name in headers)
    if family == "connect":
        assert json.loads(said.body)["code"] == _CONNECT[_TO_CLIENT.get(status, _DENIED)]
    if told is None:
        return
    assert headers.get("content-type") == _CONTENT_TYPES[family]
    assert bool(said.body) == (_CONTENT_TYPES[family] is not None)
    assert headers.get("retry-after") == (None if told.retry_after is None else str(told.retry_after))
    if family == "page":  # for people: when to come back is in the words and in the header
        assert _page(said.body) == (told.reason, told.decision_id)
    elif family != "nothing":
        assert _read(family, said) == told


def _read(family: str, said: Answer) -> Told:
    members = _members(family, said)
    retry_after = members.get("retry_after")
    return Told(
        reason=str(members["reason"]),
        decision_id=str(members["decision_id"]),
        retry_after=None if retry_after is None else int(retry_after),
    )


def _members(family: str, said: Answer) -> dict[str, Any]:
    match family:
        case "problem":
            problem: dict[str, Any] = json.loads(said.body)
            assert problem["status"] == said.status
            return problem
        case "text":
            return dict(re.findall(r"^([a-z_]+): (.*)$", said.body, re.MULTILINE))
        case "json-rpc":
            answer = json.loads(said.body)
            assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", 7, -32000)
            data: dict[str, Any] = answer["error"]["data"]
            return data
        case "connect":
            (first, *_) = json.loads(said.body)["details"]
            assert first["type"] == "google.rpc.ErrorInfo"
            return _information(ErrorInfo.FromString(_binary(first["value"])))
        case _:
            status = Status.FromString(_binary(said.denied["grpc-status-details-bin"]))
            assert str(status.code) == said.denied["grpc-status"]
            information = ErrorInfo()
            assert status.details[0].Unpack(information)
            return _information(information)


def _information(information: ErrorInfo) -> dict[str, Any]:
    assert information.domain == "extauthz"
    return {**information.metadata, "reason": information.reason.lower().replace("_", "-")}


def _binary(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))


def _page(body: str) -> tuple[str, str]:
    reason, reference = re.findall(r"<dd>([^<]*)</dd>", body)
    return reason, reference
