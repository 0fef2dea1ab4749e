"""Reading answers as Envoy does, for the tests of this folder."""

import json
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Self

from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.values.approvals import Requesters
from extauthz.values.decisions import (
    Allow,
    ApprovalDemand,
    Challenge,
    ChallengeDemand,
    ChallengeOffer,
    Decision,
    Deny,
    Hold,
    HoldOffer,
)
from extauthz.values.identity import Subject
from extauthz.values.request import Caller, RequestView
from extauthz.values.schemes import Schemes
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode

OFFER = ChallengeOffer(
    location="/.extauthz/challenge?ticket=a.b",
    cookies=("__Host-nonce=1; Path=/; Secure", "__Host-holder=2; Path=/; Secure"),
)
CHALLENGE = Challenge(
    rule="pay/large",
    demands=(
        ChallengeDemand(
            rule="pay/large",
            factors=("totp", "webauthn"),
            max_age=300.0,
            binding="b1",
            acr="gold",
            description="Transfers above 1,000",
        ),
        ChallengeDemand(rule="pay/night", factors=("totp",), max_age=60.0, binding="b2", acr='q"uoted'),
    ),
)
HOLD = Hold(
    rule="pay/four-eyes",
    demands=(
        ApprovalDemand(
            rule="pay/four-eyes",
            binding="b",
            min=2,
            expires_in=900.0,
            hold=20.0,
            bind="action",
            subject=Subject("https://idp.test", "u1"),
            session="s1",
            requesters=Requesters(persons=("u1",), subjects=(Subject("https://idp.test", "u1"),)),
        ),
    ),
)
WAITING = HoldOffer(location="/.extauthz/waiting?ticket=a.b", cookies=("__Host-nonce=1; Path=/; Secure",))
ALLOW = Allow(rule="pay/small")
DENY = Deny(reason="account-frozen", rule="pay/frozen")
BOTH = Schemes(bearer=True, proof_algorithms=("ES256", "PS256"))
DECISIONS: dict[str, Decision] = {"allow": ALLOW, "deny": DENY, "challenge": CHALLENGE, "hold": HOLD}


NAVIGATES = {"sec-fetch-mode": "navigate", "accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def asked(
    headers: dict[str, str | list[str]] | None = None, *, method: str = "GET", body: bytes | None = None
) -> RequestView:
    """A request with these headers."""
    return decode(check_request(host="a.example", method=method, headers=headers or {}, body=body))


BY_CALLER: dict[Caller, RequestView] = {
    Caller.NAVIGATION: asked({**NAVIGATES}),
    Caller.FORM_POST: asked({**NAVIGATES, "content-type": "multipart/form-data; boundary=x"}, method="POST"),
    Caller.API: asked({"accept": "*/*"}),
    Caller.GRPC: asked({"content-type": "application/grpc", "te": "trailers"}, method="POST"),
    Caller.PREFLIGHT: asked(
        {"origin": "https://b.example", "access-control-request-method": "PUT", "accept": "*/*"}, method="OPTIONS"
    ),
    Caller.TCP: decode(tcp_check_request(source_ip="10.0.0.1")),
}
"""A request of each kind of caller."""
CALL = b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "export"}}'
BY_FORM: dict[str, RequestView] = {
    **{caller.value: request for caller, request in BY_CALLER.items()},
    "text": asked({"accept": "text/plain"}),
    "grpc-web": asked({"content-type": "application/grpc-web+proto"}, method="POST"),
    "grpc-web-text": asked({"content-type": "application/grpc-web-text"}, method="POST"),
    "grpc-web-translated": asked({"content-type": "application/grpc+proto", "x-grpc-web": "1"}, method="POST"),
    "connect": asked({"content-type": "application/proto", "connect-protocol-version": "1"}, method="POST"),
    "json-rpc": asked({"content-type": "application/json"}, method="POST", body=CALL),
}
"""A request for each form that a refusal has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A CheckResponse, and what becomes of it."""

    message: CheckResponse

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """The answer in these bytes."""
        return cls(CheckResponse.FromString(payload))

    @property
    def code(self) -> int:
        return int(self.message.status.code)

    @property
    def status(self) -> int:
        return self.message.denied_response.status.code

    @property
    def body(self) -> str:
        return self.message.denied_response.body

    @property
    def denied(self) -> dict[str, str]:
        return applied(self.message.denied_response.headers)

    @property
    def upstream(self) -> dict[str, str]:
        return applied(self.message.ok_response.headers)

    @property
    def removed(self) -> list[str]:
        return list(self.message.ok_response.headers_to_remove)

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = MessageToDict(self.message.dynamic_metadata)
        return metadata

    @property
    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = self.metadata["extauthz"]
        return facts

    @property
    def is_explicit(self) -> bool:
        """Whether Envoy can read it in one way only."""
        kind = self.message.WhichOneof("http_response")
        return self.message.HasField("status") and kind == ("ok_response" if self.code == 0 else "denied_response")


def applied(options: Iterable[HeaderValueOption]) -> dict[str, str]:
    """The headers that Envoy ends up with; values of one name on lines of their own."""
    headers: dict[str, str] = {}
    for option in options:
        name, value = option.header.key, option.header.value
        if option.append_action == HeaderValueOption.APPEND_IF_EXISTS_OR_ADD:
            headers[name] = f"{headers[name]}\n{value}" if name in headers else value
        else:
            assert option.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
            headers[name] = value
    return headers


def answer(
    decision: Decision,
    *,
    request: RequestView | None = None,
    caller: Caller = Caller.API,
    unread: bytes | None = None,
    settable: frozenset[str] = frozenset(),
    schemes: Schemes = BOTH,
    offer: ChallengeOffer | HoldOffer | None = None,
) -> Answer:
    """What `encode` says, with a fixed id and revision: to `request`, to what could not be read, or to `caller`."""
    payload = encode(
        decision,
        request=(request or BY_CALLER[caller]) if unread is None else None,
        unread=unread or b"",
        decision_id="d-1",
        revision="sha256:abc",
        settable=settable,
        schemes=schemes,
        offer=offer,
    )
    return Answer.of(payload)


def problem(said: Answer) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert said.denied["content-type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(said.body)
    assert document["status"] == said.status
    assert document["decision_id"] == "d-1"
    return document


class Page(HTMLParser):
    """What a person sees of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def grpc_details(said: Answer) -> Status:
    """The details of a refused call, which name the same code as its header."""
    binary = said.denied["grpc-status-details-bin"]
    status = Status.FromString(b64decode(binary + "=" * (-len(binary) % 4)))
    assert str(status.code) == said.denied["grpc-status"]
    return status


def error_info(said: Answer) -> ErrorInfo:
    """What went wrong, as a gRPC client reads it."""
    info = ErrorInfo()
    assert grpc_details(said).details[0].Unpack(info)
    return info


def retry_seconds(said: Answer) -> int:
    """When to try again, as a gRPC client reads it."""
    info = RetryInfo()
    assert grpc_details(said).details[1].Unpack(info)
    return int(info.retry_delay.seconds)
