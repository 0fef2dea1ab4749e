"""What the client gets in place of what it asked for: status, headers and body by decision and by reader.

The rule: everyone gets a form that they read, and it says no more than the stable reason and the decision's id. A rule
has its own words beside them.
"""

import math
from typing import Final, assert_never

from extauthz.errors import STATUS
from extauthz.values.decisions import (
    ApprovalDemand,
    Challenge,
    ChallengeDemand,
    ChallengeOffer,
    Deny,
    Hold,
    HoldOffer,
)
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
    offer: ChallengeOffer | HoldOffer | None,
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
            return _hold(decision, reader, decision_id, offer)
        case _:
            assert_never(decision)


def _deny(decision: Deny, reader: Reader, decision_id: str, authenticate: Headers) -> Refusal:
    redirects = 300 <= decision.status < 400
    # A preflight that is redirected fails for a reason that nobody sees (the Fetch standard, section 4.9).
    status = 403 if redirects and reader.caller is Caller.PREFLIGHT else decision.status
    given = {name.lower(): value for name, value in decision.headers.items()} if decision.headers else {}
    # What the rule says of its body is said of no other.
    content_type = given.pop(_CONTENT_TYPE, None)
    retry_after = OVERLOAD_RETRY_AFTER if decision.reason == "overloaded" else None
    if decision.retry_after is not None:
        retry_after = math.ceil(decision.retry_after)
    told = Told(
        status=status,
        reason=decision.reason,
        detail=detail(decision.reason, decision.status, retry_after=retry_after),
        decision_id=decision_id,
        headers=authenticate if status == 401 else (),
        body=_body(decision.body, content_type) if decision.body else None,
        retry_after=retry_after,
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
    offer: ChallengeOffer | HoldOffer | None,
    authenticate: tuple[str, str],
) -> Refusal:
    location, cookies = _way_on(offer, reader)
    if reader.caller is Caller.NAVIGATION and location is not None:
        return _redirect(location, cookies, decision_id)
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


def _hold(decision: Hold, reader: Reader, decision_id: str, offer: ChallengeOffer | HoldOffer | None) -> Refusal:
    """A browser goes to the page where it waits; everybody else is told when to ask again, and what about."""
    location, cookies = _way_on(offer, reader)
    if reader.caller is Caller.NAVIGATION and location is not None:
        return _redirect(location, cookies, decision_id)
    members: dict[str, object] = {"demands": [_approval(demand) for demand in decision.demands]}
    if decision.approvals:
        members["approvals"] = list(decision.approvals)
    if location is not None:
        members["approval_uri"] = location
    status = STATUS[decision.reason]
    told = Told(
        status=status,
        reason=decision.reason,
        detail=detail(decision.reason, status),
        decision_id=decision_id,
        headers=cookies if location is None else (("location", location), *cookies),
        members=members,
        link=(location, "Wait for the answer") if location is not None else None,
        retry_after=RETRY_AFTER if decision.retry_after is None else math.ceil(decision.retry_after),
    )
    return render(told, reader)


def _way_on(offer: ChallengeOffer | HoldOffer | None, reader: Reader) -> tuple[str | None, Headers]:
    """Where somebody goes on, and the cookies that go with it; a preflight goes nowhere."""
    if offer is None or reader.caller is Caller.PREFLIGHT:
        return None, ()
    return offer.location, tuple(("set-cookie", cookie) for cookie in offer.cookies)


def _redirect(location: str, cookies: Headers, decision_id: str) -> Refusal:
    headers = ((DECISION_ID, decision_id), ("location", location), *cookies)
    return Refusal(status=302, fixed=(NO_STORE,), headers=headers)


def _approval(demand: ApprovalDemand) -> dict[str, object]:
    described: dict[str, object] = {"min": demand.min, "expires_in": int(demand.expires_in)}
    if demand.description:
        described["description"] = demand.description
    return described


def _demand(demand: ChallengeDemand) -> dict[str, object]:
    described: dict[str, object] = {"factors": list(demand.factors), "max_age": int(demand.max_age)}
    if demand.description:
        described["description"] = demand.description
    return described
