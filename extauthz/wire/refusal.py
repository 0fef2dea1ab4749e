"""What the client gets in place of what it asked for: status, headers and body by decision and by reader.

The rule: everyone gets a form that they read, and it says no more than the stable reason and the decision's id. A rule
has its own words beside them.
"""

import math
from typing import Final, assert_never

from extauthz.errors import STATUS
from extauthz.values.decisions import Challenge, ChallengeDemand, ChallengeOffer, Deny, Hold
from extauthz.values.request import Caller
from extauthz.values.schemes import Scheme, Schemes
from extauthz.wire.authenticate import acr_values, insufficient, max_age, unauthenticated
from extauthz.wire.caller import Reader
from extauthz.wire.forms import NO_STORE, Body, Headers, Refusal, Told, render
from extauthz.wire.sayable import DECISION_ID
from extauthz.wire.wording import detail

# Seconds until an approval that was not given in time is worth asking for again.
RETRY_AFTER: Final = 5

# Seconds until what was refused for want of time is worth asking for again: no queue is as long.
OVERLOAD_RETRY_AFTER: Final = 1

_CONTENT_TYPE: Final = "content-type"


def refuse(
    decision: Deny | Challenge | Hold,
    *,
    reader: Reader,
    decision_id: str,
    offer: ChallengeOffer | None,
    schemes: Schemes,
    sent: Scheme | None,
) -> Refusal:
    """The response for a decision that does not let the request through; `sayable` has seen it.

    `schemes` are those that the configuration takes, `sent` is the scheme of the token that came along.
    """
    match decision:
        case Deny():
            authenticate = unauthenticated(schemes, error=decision.oauth_error, sent=sent)
            return _deny(decision, reader, decision_id, authenticate)
        case Challenge():
            return _challenge(decision, reader, decision_id, offer, insufficient(decision, schemes, sent=sent))
        case Hold():
            status = STATUS[decision.reason]
            told = Told(
                status=status,
                reason=decision.reason,
                detail=detail(decision.reason, status),
                decision_id=decision_id,
                retry_after=RETRY_AFTER,
            )
            return render(told, reader)
        case _:
            assert_never(decision)


def _deny(decision: Deny, reader: Reader, decision_id: str, authenticate: Headers) -> Refusal:
    redirects = 300 <= decision.status < 400
    # A preflight that is redirected fails for a reason that nobody sees (the Fetch standard, section 4.9).
    status = 403 if redirects and reader.caller is Caller.PREFLIGHT else decision.status
    given = {name.lower(): value for name, value in decision.headers.items()} if decision.headers else {}
    # What the rule says of its body is said of no other.
    content_type = given.pop(_CONTENT_TYPE, None)
    told = Told(
        status=status,
        reason=decision.reason,
        detail=detail(decision.reason, decision.status),
        decision_id=decision_id,
        headers=authenticate if status == 401 else (),
        body=_body(decision.body, content_type) if decision.body else None,
        retry_after=OVERLOAD_RETRY_AFTER if decision.reason == "overloaded" else None,
    )
    refusal = render(told, reader)
    return refusal.with_headers(given) if given else refusal


def _body(text: str, content_type: str | None) -> Body:
    if content_type is None:
        content_type = "application/json" if text.lstrip()[:1] in ("{", "[") else "text/plain; charset=utf-8"
    return Body(text=text, content_type=content_type)


def _challenge(
    decision: Challenge,
    reader: Reader,
    decision_id: str,
    offer: ChallengeOffer | None,
    authenticate: tuple[str, str],
) -> Refusal:
    cookies: Headers = ()
    location = None
    if offer is not None and reader.caller is not Caller.PREFLIGHT:
        cookies = tuple(("set-cookie", cookie) for cookie in offer.cookies)
        location = offer.location
    if reader.caller is Caller.NAVIGATION and location is not None:
        headers = ((DECISION_ID, decision_id), ("location", location), *cookies)
        return Refusal(status=302, fixed=(NO_STORE,), headers=headers)
    members: dict[str, object] = {"max_age": max_age(decision), "demands": [_demand(d) for d in decision.demands]}
    if values := acr_values(decision):
        members["acr_values"] = values
    if location is not None:
        members["challenge_uri"] = location
    status = STATUS[decision.reason]
    retry_after = None if decision.retry_after is None else math.ceil(decision.retry_after)
    told = Told(
        status=status,
        reason=decision.reason,
        detail=detail(decision.reason, status, retry_after=retry_after),
        decision_id=decision_id,
        headers=(authenticate, *cookies),
        members=members,
        link=(location, "Prove who you are") if location is not None else None,
        retry_after=retry_after,
    )
    return render(told, reader)


def _demand(demand: ChallengeDemand) -> dict[str, object]:
    described: dict[str, object] = {"factors": list(demand.factors), "max_age": int(demand.max_age)}
    if demand.description:
        described["description"] = demand.description
    return described
