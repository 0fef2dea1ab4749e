"""An answer that refuses what was asked for, as bytes.

The rule kept here: a denial in no words of a rule's own nor of the request is the same for all who read the same form,
but for its id: it is made once, and remembered within bounds.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final, assert_never

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse, DeniedHttpResponse
from extauthz.errors import STATUS
from extauthz.values.decisions import Challenge, ChallengeOffer, Deny, Hold, HoldOffer
from extauthz.values.schemes import Scheme, Schemes
from extauthz.wire.caller import Reader
from extauthz.wire.dynamic_metadata import facts_of
from extauthz.wire.forms import Headers, Refusal
from extauthz.wire.fragments import Holed
from extauthz.wire.grpc_status import DETAILS, binary, code_of, of_binary
from extauthz.wire.mutations import BESIDE, OVERWRITE
from extauthz.wire.refusal import refuse
from extauthz.wire.sayable import sayable

if TYPE_CHECKING:
    # The stubs' name for a repeated field; at run time it is a class of upb's own.
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

_MARKS: Final = ("q", "z")
"""What stands for the characters of ids."""


def refused(
    said: Deny | Challenge | Hold,
    who: Reader,
    decision_id: str,
    revision: str,
    offer: ChallengeOffer | HoldOffer | None,
    schemes: Schemes,
    sent: Scheme | None,
) -> bytes:
    """The answer that refuses what was asked for, in the form that its reader reads."""
    id_ = decision_id.encode()
    answer = CheckResponse.FromString(id_.join(facts_of(_word(said), said.reason, said.rule, revision, len(id_))))
    refusal = refuse(said, reader=who, decision_id=decision_id, offer=offer, schemes=schemes, sent=sent)
    _write_refusal(answer, said, refusal)
    return answer.SerializeToString(deterministic=True)


def denied(
    decision: Deny, who: Reader, decision_id: bytes, revision: str, schemes: Schemes, sent: Scheme | None
) -> bytes | None:
    """The answer to a denial in no words of a rule's own nor of the request; `None` to others, and where that can't be
    said or has to be made for each id."""
    if decision.headers or decision.body or decision.retry_after is not None or who.calls is not None:
        return None
    reason, rule, status, size = decision.reason, decision.rule, decision.status, len(decision_id)
    place = (id(reason) ^ id(rule) ^ id(who)) % len(_DENIALS)
    known = _DENIALS[place]
    if (
        known is None
        or known.reason is not reason
        or known.rule is not rule
        or known.who is not who
        or known.size != size
        or known.status != status
        or known.revision != revision
        or known.schemes is not schemes
        or known.sent != sent
        or known.error != decision.oauth_error
    ):
        if sayable(decision) is not decision:
            return None
        known = _Denial(decision, who, revision, schemes, sent, size)
        _DENIALS[place] = known
    return known.with_id(decision_id) if known.is_alike and _is_verbatim(decision_id) else None


def _is_verbatim(decision_id: bytes) -> bool:
    """Whether every form says an id as it is."""
    for place in range(len(decision_id)):  # each byte by itself would be an object
        byte = decision_id[place]
        if not (0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x2D):
            return False
    return True


class _Denial:
    """The answer to a denial, and what it was made of. It has holes for the decision's id: in what comes first, in the
    status of a gRPC call, which is told as base64, and in what comes behind that."""

    def __init__(
        self,
        decision: Deny,
        who: Reader,
        revision: str,
        schemes: Schemes,
        sent: Scheme | None,
        size: int,
    ) -> None:
        self.reason: Final[str] = decision.reason
        self.rule: Final[str | None] = decision.rule
        self.status: Final[int] = decision.status
        self.error: Final[str | None] = decision.oauth_error
        self.who: Final = who
        self.revision: Final = revision
        self.schemes: Final = schemes
        self.sent: Final[str | None] = sent
        self.size: Final = size
        one, other = [refused(decision, who, mark * size, revision, None, schemes, sent) for mark in _MARKS]
        id_, details = _MARKS[0].encode() * size, _details_in(one)
        first, _, behind = one.partition(details) if details else (one, b"", b"")
        self._first: Final[Holed] = tuple(first.split(id_))
        self._details: Final[Holed | None] = tuple(of_binary(details).split(id_)) if details else None
        self._behind: Final[Holed] = tuple(behind.split(id_))
        # Some forms tell the id in a way of their own, and what a rule says may look like it.
        self.is_alike: Final = self.with_id(_MARKS[1].encode() * size) == other

    def with_id(self, id_: bytes) -> bytes:
        """The whole, where that `is_alike` for all ids but for themselves."""
        first, details = id_.join(self._first), self._details
        return first if details is None else b"".join((first, binary(id_.join(details)), id_.join(self._behind)))


def _details_in(payload: bytes) -> bytes:
    """The status of a gRPC call as an answer tells it; empty if it tells none."""
    denied = CheckResponse.FromString(payload).denied_response
    told = [option.header.value.encode() for option in denied.headers if option.header.key == DETAILS]
    return told[0] if told else b""


_DENIALS: Final[list[_Denial | None]] = [None] * 251
"""Those that were said last: a scanner is told the same again and again. Reasons and rules are words of policies, which
are the same object each time; each has one place."""


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
