"""A decision to CheckResponse bytes: the only place that writes what Envoy obeys.

The rule: every answer is explicit. Status 0 comes with `ok_response` and from Allow alone, every other status with
`denied_response`; an empty CheckResponse would be an allow, an `error_response` or a gRPC error what
`failure_mode_allow` says.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, assert_never

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse, DeniedHttpResponse
from extauthz.errors import STATUS
from extauthz.values.decisions import Allow, Challenge, ChallengeOffer, Decision, Deny, Hold, HoldOffer, denial
from extauthz.values.request import RequestView
from extauthz.values.schemes import NO_SCHEMES, Schemes
from extauthz.wire.authenticate import sent_scheme
from extauthz.wire.caller import guess, reader
from extauthz.wire.forms import Headers, Refusal
from extauthz.wire.fragments import Holed, field, head, length, struct_entry, text_entry, together, within
from extauthz.wire.grpc_status import code_of
from extauthz.wire.mutations import (
    BESIDE,
    OK_RESPONSE,
    OVERWRITE,
    behind_headers_set,
    headers_set,
    is_plain,
    ok_response,
    only_sets_headers,
)
from extauthz.wire.refusal import refuse
from extauthz.wire.sayable import METADATA, are_names, is_text, sayable

if TYPE_CHECKING:
    # The stubs' name for a repeated field; at run time it is a class of upb's own.
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

# The field `status` of an answer with the code OK, which is the default and not written.
_STATUS_OK: Final = field(1, b"")
_DYNAMIC_METADATA: Final = 4
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
    offer: ChallengeOffer | HoldOffer | None = None,
) -> tuple[bytes, Decision]:
    """The answer to one Check, and the decision that it says.

    Where `request` could not be read it is `None`, and `unread` the bytes of the Check. `settable` are the request
    headers that the loaded policies can set, in lower case; `schemes` are those that a 401 names; `offer` is what a
    challenged or a held caller is given. A decision that can't be said becomes a denial (`sayable`); the other one is
    returned as it is. Equal arguments give equal bytes. `usual_of` is a quicker way to what most get.
    """
    id_ = decision_id.encode()
    said = sayable(decision, offer=offer)
    match said:
        case Allow():
            http, mutations = None if request is None else request.http, said.mutations
            facts = id_.join(_facts("allow", said.reason, said.rule, revision, len(id_)))
            if mutations.metadata:
                facts = _beside(facts, mutations.metadata)
            return _STATUS_OK + ok_response(mutations, http, id_, settable) + facts, said
        case Deny() | Challenge() | Hold():
            facts = id_.join(_facts(_word(said), said.reason, said.rule, revision, len(id_)))
            answer = CheckResponse.FromString(facts)
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
            return answer.SerializeToString(deterministic=True), said
        case _:
            assert_never(said)


def usual_of(
    decision: Decision, request: RequestView | None, size: int, revision: str, settable: frozenset[str]
) -> Holed | None:
    """What `say` answers to an allow that changes nothing but headers of the request which are set, as most do, with
    holes for the decision's id of so many bytes; `None` where more than that has to be looked at."""
    if request is not None and not is_plain(request.http):
        return None
    return _usual(decision, revision, settable, size)


def encode(
    decision: Decision,
    *,
    request: RequestView | None,
    decision_id: str,
    revision: str,
    settable: frozenset[str],
    schemes: Schemes = NO_SCHEMES,
    unread: bytes = b"",
    offer: ChallengeOffer | HoldOffer | None = None,
) -> bytes:
    """The answer alone, in the quicker way if there is one."""
    id_ = decision_id.encode()
    usual = usual_of(decision, request, len(id_), revision, settable)
    if usual is not None:
        return id_.join(usual)
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
        _write_header(denied.headers, name, value, BESIDE if name in written else OVERWRITE)
        written.add(name)


@lru_cache(maxsize=256)
def _fixed(headers: Headers) -> bytes:
    """The part of a denied answer that is the same in many."""
    denied = DeniedHttpResponse()
    for name, value in headers:
        _write_header(denied.headers, name, value)
    return denied.SerializeToString(deterministic=True)


class _Usual:
    """The answer to an allow that is usual, and what it was made of."""

    def __init__(self, decision: Decision, revision: str, settable: frozenset[str], size: int, said: Holed) -> None:
        self.decision: Final = decision
        self.revision: Final = revision
        self.settable: Final = settable
        self.size: Final = size
        self.said: Final = said


_USUAL: Final[list[_Usual | None]] = [None] * 4093
"""Those that were said last: the allow of a caller who comes again is the same object. Each has one place, whoever has
it goes for the next that belongs there, and so nothing is said of one allow that was made of another."""
_LONGEST_KEPT: Final = 512


def _usual(decision: Decision, revision: str, settable: frozenset[str], size: int) -> Holed | None:
    """The answer to an allow that is usual, with holes for the decision's id of so many bytes; `None` to others."""
    place = id(decision) % len(_USUAL)
    known = _USUAL[place]
    if (
        known is not None
        and known.decision is decision
        and known.settable is settable
        and known.size == size
        and known.revision == revision
    ):
        return known.said
    if not isinstance(decision, Allow) or not only_sets_headers(decision.mutations):
        return None
    said = _made(decision, revision, settable, size)
    # An allow that rests on a grant is of one request.
    if said is not None and not decision.grants and len(said[0]) <= _LONGEST_KEPT:
        _USUAL[place] = _Usual(decision, revision, settable, size, said)
    return said


def _made(allow: Allow, revision: str, settable: frozenset[str], size: int) -> Holed | None:
    """The answer to an allow that only sets headers; `None` if it can't be said, or not in this way."""
    headers = allow.mutations.headers
    form = _form(allow.reason, allow.rule, revision, settable, tuple(headers), size)
    if form is None:  # before a name is written that no header can have
        return None
    written = headers_set(headers) if headers else b""
    if written is None:
        return None
    whole, (first, *more), behind = form
    if not written:
        return whole
    return (b"".join((_STATUS_OK, head(OK_RESPONSE, len(written) + behind), written, first)), *more)


@lru_cache(maxsize=4096)
def _form(
    reason: str, rule: str, revision: str, settable: frozenset[str], names: tuple[str, ...], size: int
) -> tuple[Holed, Holed, int] | None:
    """The answer to an allow that is usual and sets no headers; what comes behind the headers of these names in one
    that sets them, and how much of it is in the `ok_response`. `None` where that can't be said, or any client could
    spell one of the names otherwise."""
    if not (is_text(reason) and is_text(rule) and are_names(names)) or any("_" in name for name in (*settable, *names)):
        return None
    rest = behind_headers_set(names, settable=settable, size=size)
    facts = _facts("allow", reason, rule, revision, size)
    whole = together((_STATUS_OK,), within(OK_RESPONSE, rest, size), facts)
    return whole, together(rest, facts), length(rest, size)


@lru_cache(maxsize=4096)
def _facts(word: str, reason: str, rule: str | None, revision: str, size: int) -> Holed:
    """The dynamic metadata of an answer that says this, with a hole for the decision's id of so many bytes.

    Envoy keeps them under the filter's own namespace for access logs and later filters.
    """

    def told(name: str, value: str) -> Holed:
        return text_entry(name, (value.encode(),), size)

    # In the order of the library: a name before another one that it begins with.
    facts = together(
        text_entry("decision_id", (b"", b""), size),
        told("decision", word),
        told("reason", reason),
        told("revision", revision),
        *(() if rule is None else (told("rule", rule),)),
    )
    return within(_DYNAMIC_METADATA, struct_entry(METADATA, facts, size), size)


def _beside(facts: bytes, metadata: Mapping[str, Any]) -> bytes:
    """The same dynamic metadata with what rules add to them."""
    answer = CheckResponse.FromString(facts)
    answer.dynamic_metadata.update(metadata)
    return answer.SerializeToString(deterministic=True)


def _write_header(
    options: "RepeatedCompositeFieldContainer[HeaderValueOption]", name: str, value: str, action: int = OVERWRITE
) -> None:
    option = options.add()
    option.append_action = action  # type: ignore[assignment]  # the stubs hide that an enumeration's values are ints
    option.header.key, option.header.value = name, value


def _word(refused: Deny | Challenge | Hold) -> str:
    match refused:
        case Deny():
            return "deny"
        case Challenge():
            return "challenge"
        case Hold():
            return "hold"
        case _:
            assert_never(refused)
