"""A decision to CheckResponse bytes: the only place that writes what Envoy obeys.

The rule: every answer is explicit. Status 0 comes with `ok_response` and from Allow alone, every other status with
`denied_response`; an empty CheckResponse would be an allow, an `error_response` or a gRPC error what
`failure_mode_allow` says.
"""

import re
from functools import lru_cache
from typing import Final, assert_never

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse, DeniedHttpResponse
from extauthz.errors import STATUS
from extauthz.values.decisions import Allow, Challenge, ChallengeOffer, Decision, Deny, Hold, denial
from extauthz.values.request import RequestView
from extauthz.values.schemes import NO_SCHEMES, Schemes
from extauthz.wire.authenticate import sent_scheme
from extauthz.wire.caller import guess, reader
from extauthz.wire.forms import Headers, Refusal
from extauthz.wire.grpc_status import Code, code_of
from extauthz.wire.mutations import BESIDE, OVERWRITE, write_header, write_mutations
from extauthz.wire.refusal import refuse
from extauthz.wire.sayable import METADATA, sayable

_ID: Final = re.compile(r"[!-~]{1,200}\Z")


def say(
    decision: Decision,
    *,
    request: RequestView | None,
    decision_id: str,
    revision: str,
    settable: frozenset[str],
    schemes: Schemes = NO_SCHEMES,
    unread: bytes = b"",
    offer: ChallengeOffer | None = None,
) -> tuple[bytes, Decision]:
    """The answer to one Check, and the decision that it says.

    Where `request` could not be read it is `None`, and `unread` the bytes of the Check. `settable` are the request
    headers that the loaded policies can set, in lower case; `schemes` are those that a 401 names; `offer` is what a
    challenged caller is given. A decision that can't be said becomes a denial (`sayable`); the other one is returned as
    it is. Equal arguments give equal bytes.
    """
    said = sayable(decision, offer=offer)
    answer = CheckResponse.FromString(_facts(_word(said), said.reason, said.rule, revision))
    answer.dynamic_metadata.fields[METADATA].struct_value.fields["decision_id"].string_value = decision_id
    match said:
        case Allow():
            http = request.http if request is not None else None
            answer.status.code = Code.OK
            write_mutations(answer.ok_response, said.mutations, http=http, decision_id=decision_id, settable=settable)
            if said.mutations.metadata:
                answer.dynamic_metadata.update(said.mutations.metadata)
        case Deny() | Challenge() | Hold():
            # Who reads it is worked out here alone: most requests are allowed, and nobody reads those answers.
            who = reader(request) if request is not None else guess(unread)
            refusal = refuse(
                said,
                reader=who,
                decision_id=decision_id,
                offer=offer,
                schemes=schemes,
                sent=sent_scheme(request),
            )
            _write_refusal(answer, said, refusal)
        case _:
            assert_never(said)
    return answer.SerializeToString(deterministic=True), said


def encode(
    decision: Decision,
    *,
    request: RequestView | None,
    decision_id: str,
    revision: str,
    settable: frozenset[str],
    schemes: Schemes = NO_SCHEMES,
    unread: bytes = b"",
    offer: ChallengeOffer | None = None,
) -> bytes:
    """The answer of `say` alone."""
    payload, _ = say(
        decision,
        request=request,
        decision_id=decision_id,
        revision=revision,
        settable=settable,
        schemes=schemes,
        unread=unread,
        offer=offer,
    )
    return payload


def encode_failure(decision_id: str) -> bytes:
    """The answer where there is no decision to say: UNAVAILABLE and 503. It needs nothing and fails on nothing."""
    safe_id = decision_id if _ID.match(decision_id) is not None else "unknown"
    return encode(denial("internal-error"), request=None, decision_id=safe_id, revision="", settable=frozenset())


def _write_refusal(answer: CheckResponse, said: Deny | Challenge | Hold, refusal: Refusal) -> None:
    status = said.status if isinstance(said, Deny) else STATUS[said.reason]
    answer.status.code = code_of(status)
    denied = answer.denied_response
    denied.MergeFromString(_fixed(refusal.fixed))
    # The enumeration is open: rules may deny with a status that Envoy has no name for.
    denied.status.code = refusal.status  # type: ignore[assignment]  # stubs take its named values only
    denied.body = refusal.body
    written: set[str] = set()
    for name, value in refusal.headers:
        # A second cookie is beside the first; there is no header of the client's that it could join.
        write_header(denied.headers, name, value, BESIDE if name in written else OVERWRITE)
        written.add(name)


@lru_cache(maxsize=256)
def _fixed(headers: Headers) -> bytes:
    """The part of a denied answer that is the same in many."""
    denied = DeniedHttpResponse()
    for name, value in headers:
        write_header(denied.headers, name, value)
    return denied.SerializeToString(deterministic=True)


@lru_cache(maxsize=4096)
def _facts(word: str, reason: str, rule: str | None, revision: str) -> bytes:
    """An answer that says nothing but this, in its dynamic metadata: Envoy keeps that under the filter's own namespace
    for access logs and later filters."""
    answer = CheckResponse()
    facts = answer.dynamic_metadata.fields[METADATA].struct_value.fields
    facts["decision"].string_value = word
    facts["reason"].string_value = reason
    facts["revision"].string_value = revision
    if rule is not None:
        facts["rule"].string_value = rule
    return answer.SerializeToString(deterministic=True)


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
