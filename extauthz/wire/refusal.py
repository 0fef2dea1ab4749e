"""What the client gets in place of what it asked for: status, headers and body by decision and by caller.

The rule: everyone gets a form that it reads, nothing of it may be cached, and it says no more than the stable reason
and the decision's id. Details are for the audit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, assert_never

from extauthz.values.decisions import Challenge, ChallengeDemand, ChallengeOffer, Deny, Hold
from extauthz.values.request import Caller
from extauthz.wire import grpc_status
from extauthz.wire.page import HEADERS as PAGE_HEADERS
from extauthz.wire.page import page
from extauthz.wire.sayable import DECISION_ID

# Seconds until an approval that was not given in time is worth asking for again.
RETRY_AFTER: Final = 5

_NO_STORE: Final = ("cache-control", "no-store")
_PROBLEM: Final = ("content-type", "application/problem+json")
_NO_BODY: Final = frozenset({204, 205, 304})
_DETAILS: Final = {
    400: "The request is malformed, or could be read in more than one way.",
    401: "The request does not prove who sends it.",
    403: "The request is not allowed.",
    503: "The request can't be decided now.",
}
_PROOF: Final = "This needs fresh proof of who you are."
_APPROVAL: Final = "This waits for an approval. Repeat the same request later."

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An HTTP response of ours. A name occurs once in `headers`, but for `set-cookie`."""

    status: int
    headers: Headers
    body: str = ""


def refuse(
    decision: Deny | Challenge | Hold, *, caller: Caller, decision_id: str, offer: ChallengeOffer | None
) -> Refusal:
    """The response for a decision that does not let the request through; `sayable` has seen it."""
    match decision:
        case Deny():
            return _deny(decision, caller, decision_id)
        case Challenge():
            return _challenge(decision, caller, decision_id, offer)
        case Hold():
            return _render(
                caller,
                status=403,
                reason=decision.reason,
                detail=_APPROVAL,
                decision_id=decision_id,
                headers=(("retry-after", str(RETRY_AFTER)),),
                members={"retry_after": RETRY_AFTER},
            )
        case _:
            assert_never(decision)


def _deny(decision: Deny, caller: Caller, decision_id: str) -> Refusal:
    redirects = HTTPStatus.MULTIPLE_CHOICES <= decision.status < HTTPStatus.BAD_REQUEST
    refusal = _render(
        caller,
        # A preflight that is redirected fails for a reason that nobody sees (the Fetch standard, section 4.9).
        status=403 if redirects and caller is Caller.PREFLIGHT else decision.status,
        reason=decision.reason,
        detail=_detail(decision),
        decision_id=decision_id,
        headers=(("www-authenticate", _bearer(decision)),) if decision.status == HTTPStatus.UNAUTHORIZED else (),
    )
    if not decision.headers and not decision.body:
        return refusal
    given = {name.lower(): value for name, value in decision.headers.items()}
    if decision.body and caller is not Caller.GRPC:
        kept = tuple(pair for pair in refusal.headers if pair not in PAGE_HEADERS)
        refusal = Refusal(status=refusal.status, headers=kept, body=decision.body)
        given.setdefault("content-type", _content_type(decision.body))
    own = tuple(pair for pair in refusal.headers if pair[0] not in given)
    return Refusal(status=refusal.status, headers=(*own, *given.items()), body=refusal.body)


def _detail(decision: Deny) -> str:
    """The sentence for people; a gRPC client, which has no body, gets the rule's own words."""
    return decision.body or _DETAILS.get(decision.status, _DETAILS[403])


def _bearer(decision: Deny) -> str:
    """What every 401 carries (RFC 9110 section 15.5.2); without a token there is no error (RFC 6750 section 3.1)."""
    return 'Bearer error="invalid_token"' if decision.reason == "invalid-token" else "Bearer"


def _content_type(body: str) -> str:
    return "application/json" if body.lstrip()[:1] in ("{", "[") else "text/plain; charset=utf-8"


def _challenge(decision: Challenge, caller: Caller, decision_id: str, offer: ChallengeOffer | None) -> Refusal:
    cookies: Headers = ()
    location = None
    if offer is not None and caller is not Caller.PREFLIGHT:
        cookies = tuple(("set-cookie", cookie) for cookie in offer.cookies)
        location = offer.location
    if caller is Caller.NAVIGATION and location is not None:
        return Refusal(status=302, headers=(_NO_STORE, (DECISION_ID, decision_id), ("location", location), *cookies))
    members: dict[str, object] = {"max_age": _max_age(decision), "demands": [_demand(d) for d in decision.demands]}
    if acr_values := _acr_values(decision):
        members["acr_values"] = acr_values
    if location is not None:
        members["challenge_uri"] = location
    return _render(
        caller,
        status=401,
        reason=decision.reason,
        detail=_PROOF,
        decision_id=decision_id,
        headers=(("www-authenticate", _insufficient(decision)), *cookies),
        members=members,
        link=(location, "Prove who you are") if location is not None else None,
    )


def _insufficient(decision: Challenge) -> str:
    """The step-up challenge of RFC 9470 section 3."""
    challenge = f'Bearer error="insufficient_user_authentication", error_description="{_PROOF}"'
    if acr_values := _acr_values(decision):
        challenge += f", acr_values={_quoted(acr_values)}"
    return f'{challenge}, max_age="{_max_age(decision)}"'


def _max_age(decision: Challenge) -> int:
    """The age in seconds that satisfies every demand."""
    return int(min(demand.max_age for demand in decision.demands))


def _acr_values(decision: Challenge) -> str:
    return " ".join(dict.fromkeys(demand.acr for demand in decision.demands if demand.acr))


def _demand(demand: ChallengeDemand) -> dict[str, object]:
    described: dict[str, object] = {"factors": list(demand.factors), "max_age": int(demand.max_age)}
    if demand.description:
        described["description"] = demand.description
    return described


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _render(
    caller: Caller,
    *,
    status: int,
    reason: str,
    detail: str,
    decision_id: str,
    headers: Headers = (),
    members: Mapping[str, object] | None = None,
    link: tuple[str, str] | None = None,
) -> Refusal:
    """A refusal in the caller's own form; `members` extend the problem document (RFC 9457 section 3.2)."""
    common: Headers = (_NO_STORE, (DECISION_ID, decision_id))
    match caller:
        case Caller.TCP:
            return Refusal(status=status, headers=common)
        case Caller.GRPC:
            metadata = {"decision_id": decision_id} | {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in (members or {}).items()
            }
            outcome = grpc_status.headers(grpc_status.code_of(status), message=detail, reason=reason, metadata=metadata)
            return Refusal(status=status, headers=(*common, *headers, *outcome))
        case Caller.NAVIGATION | Caller.FORM_POST:
            content: Headers = PAGE_HEADERS
            body = page(title=_title(status), detail=detail, reason=reason, decision_id=decision_id, link=link)
        case Caller.API | Caller.PREFLIGHT:
            content = (_PROBLEM,)
            problem = {"title": _title(status), "status": status, "detail": detail, "reason": reason}
            body = json.dumps(problem | {"decision_id": decision_id} | dict(members or {}))
        case _:
            assert_never(caller)
    if status in _NO_BODY:
        return Refusal(status=status, headers=(*common, *headers))
    return Refusal(status=status, headers=(*common, *content, *headers), body=body)


def _title(status: int) -> str:
    """The words of the status, as RFC 9457 section 4.2.1 asks of a problem without a type of its own."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
