"""A decision to CheckResponse bytes: the only place that writes what Envoy obeys.

The rule: every answer is explicit. Status 0 comes with `ok_response` and from Allow alone, every other status with
`denied_response`; an empty CheckResponse would be an allow, an `error_response` or a gRPC error what
`failure_mode_allow` says.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, assert_never

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.values.decisions import Allow, Challenge, ChallengeOffer, Decision, Deny, Hold, denial
from extauthz.values.request import EMPTY, Caller, RequestView
from extauthz.wire.grpc_status import Code, code_of
from extauthz.wire.mutations import BESIDE, OVERWRITE, write_header, write_mutations
from extauthz.wire.refusal import Refusal, refuse
from extauthz.wire.sayable import METADATA, sayable

_ID: Final = re.compile(r"[!-~]{1,200}\Z")


def say(
    decision: Decision,
    *,
    request: RequestView | None,
    caller: Caller,
    decision_id: str,
    revision: str,
    settable: frozenset[str],
    offer: ChallengeOffer | None = None,
) -> tuple[bytes, Decision]:
    """The answer to one Check, and the decision that it says.

    `request` is `None` where it could not be read; `settable` are the request headers that the loaded policies can
    set, in lower case; `offer` is what a challenged caller is given. A decision that can't be said becomes a denial
    (`sayable`); the other one is returned as it is. Equal arguments give equal bytes.
    """
    said = sayable(decision, offer=offer)
    answer = CheckResponse()
    extra: Mapping[str, Any] = EMPTY
    match said:
        case Allow():
            http = request.http if request is not None else None
            answer.status.code = Code.OK
            write_mutations(answer.ok_response, said.mutations, http=http, decision_id=decision_id, settable=settable)
            extra = said.mutations.metadata
        case Deny() | Challenge() | Hold():
            refusal = refuse(said, caller=caller, decision_id=decision_id, offer=offer)
            answer.status.code = code_of(401 if isinstance(said, Challenge) else refusal.status)
            _denied(answer, refusal)
        case _:
            assert_never(said)
    _metadata(answer, said, decision_id, revision, extra)
    return answer.SerializeToString(deterministic=True), said


def encode(
    decision: Decision,
    *,
    request: RequestView | None,
    caller: Caller,
    decision_id: str,
    revision: str,
    settable: frozenset[str],
    offer: ChallengeOffer | None = None,
) -> bytes:
    """The answer of `say` alone."""
    payload, _ = say(
        decision,
        request=request,
        caller=caller,
        decision_id=decision_id,
        revision=revision,
        settable=settable,
        offer=offer,
    )
    return payload


def encode_failure(decision_id: str) -> bytes:
    """The answer where there is no decision to say: UNAVAILABLE and 503. It needs nothing and fails on nothing."""
    safe_id = decision_id if _ID.match(decision_id) is not None else "unknown"
    return encode(
        denial("internal-error"),
        request=None,
        caller=Caller.API,
        decision_id=safe_id,
        revision="",
        settable=frozenset(),
    )


def _denied(answer: CheckResponse, refusal: Refusal) -> None:
    denied = answer.denied_response
    # The enumeration is open: rules may deny with a status that Envoy has no name for.
    denied.status.code = refusal.status  # type: ignore[assignment]  # stubs take its named values only
    denied.body = refusal.body
    written: set[str] = set()
    for name, value in refusal.headers:
        # A second cookie is beside the first; there is no header of the client's that it could join.
        write_header(denied.headers, name, value, BESIDE if name in written else OVERWRITE)
        written.add(name)


def _metadata(answer: CheckResponse, said: Decision, decision_id: str, revision: str, extra: Mapping[str, Any]) -> None:
    """Dynamic metadata, which Envoy keeps under the filter's own namespace for access logs and later filters."""
    fields = answer.dynamic_metadata.fields
    facts = fields[METADATA].struct_value.fields
    facts["decision"].string_value = _word(said)
    facts["decision_id"].string_value = decision_id
    facts["reason"].string_value = said.reason
    facts["revision"].string_value = revision
    if said.rule is not None:
        facts["rule"].string_value = said.rule
    if extra:
        answer.dynamic_metadata.update(extra)


def _word(decision: Decision) -> str:
    match decision:
        case Allow():
            return "allow"
        case Deny():
            return "deny"
        case Challenge():
            return "challenge"
        case Hold():
            return "hold"
        case _:
            assert_never(decision)
