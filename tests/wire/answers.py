"""Reading answers as Envoy does, for the tests of this folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.values.decisions import (
    Allow,
    ApprovalDemand,
    Challenge,
    ChallengeDemand,
    ChallengeOffer,
    Decision,
    Deny,
    Hold,
)
from extauthz.values.request import Caller, RequestView
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
    demands=(ApprovalDemand(rule="pay/four-eyes", binding="b", min=2, expires_in=900.0, hold=20.0),),
)
ALLOW = Allow(rule="pay/small")
DENY = Deny(reason="account-frozen", rule="pay/frozen")
DECISIONS: dict[str, Decision] = {"allow": ALLOW, "deny": DENY, "challenge": CHALLENGE, "hold": HOLD}


@dataclass(frozen=True, slots=True)
class Answer:
    """A CheckResponse, and what becomes of it."""

    message: CheckResponse

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
    settable: frozenset[str] = frozenset(),
    offer: ChallengeOffer | None = None,
) -> Answer:
    """What `encode` says, with a fixed id and revision."""
    payload = encode(
        decision,
        request=request,
        caller=caller,
        decision_id="d-1",
        revision="sha256:abc",
        settable=settable,
        offer=offer,
    )
    return Answer(CheckResponse.FromString(payload))
