"""A decision to CheckResponse bytes: the only place that writes what Envoy obeys.

The rule: every answer is explicit. Status 0 comes with `ok_response` and from Allow alone, every other status with
`denied_response`; an empty CheckResponse would be an allow, an `error_response` or a gRPC error what
`failure_mode_allow` says.
"""

import re
from functools import lru_cache
from typing import Final, assert_never

from extauthz.values.decisions import Allow, Challenge, ChallengeOffer, Decision, Deny, Hold, HoldOffer, denial
from extauthz.values.request import RequestView
from extauthz.values.schemes import NO_SCHEMES, Schemes
from extauthz.wire.authenticate import sent_scheme
from extauthz.wire.caller import Reader, guess, reader
from extauthz.wire.denied import denied, refused
from extauthz.wire.dynamic_metadata import beside, facts_of
from extauthz.wire.fragments import Holed, field, head, length, together, within
from extauthz.wire.mutations import (
    OK_RESPONSE,
    behind_headers_set,
    headers_set,
    is_plain,
    ok_response,
    only_sets_headers,
)
from extauthz.wire.sayable import are_names, is_text, sayable

# The field `status` of an answer with the code OK, which is the default and not written.
_STATUS_OK: Final = field(1, b"")
_UNAUTHENTICATED: Final = 401
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
    if type(decision) is Deny:
        who = _reader(request, unread)
        # No other answer names a scheme.
        named = schemes if decision.status == _UNAUTHENTICATED else NO_SCHEMES
        sent = sent_scheme(request) if named is schemes else None
        usual = denied(decision, who, id_, revision, named, sent)
        if usual is not None:
            return usual, decision
    said = sayable(decision, offer=offer)
    match said:
        case Allow():
            http, mutations = None if request is None else request.http, said.mutations
            facts = id_.join(facts_of("allow", said.reason, said.rule, revision, len(id_)))
            if mutations.metadata:
                facts = beside(facts, mutations.metadata)
            return _STATUS_OK + ok_response(mutations, http, id_, settable) + facts, said
        case Deny() | Challenge() | Hold():
            who = _reader(request, unread)
            return refused(said, who, decision_id, revision, offer, schemes, sent_scheme(request)), said
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


def _reader(request: RequestView | None, unread: bytes) -> Reader:
    """Who reads the answer; only of a refusal, for nobody reads others."""
    return reader(request) if request is not None else guess(unread)


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
    facts = facts_of("allow", reason, rule, revision, size)
    whole = together((_STATUS_OK,), within(OK_RESPONSE, rest, size), facts)
    return whole, together(rest, facts), length(rest, size)
