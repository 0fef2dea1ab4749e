"""What the client gets in place of what it asked for: status, headers and body by decision and by reader.

The rule: everyone gets a form that they read, and it says no more than the stable reason and the decision's id. A rule
has its own words beside them.
"""

import math
from typing import Final, assert_never

from extauthz.errors import STATUS
from extauthz.values.decisions import Challenge, ChallengeDemand, ChallengeOffer, Deny, Hold
from extauthz.values.request import Caller
from extauthz.wire.caller import Reader
from extauthz.wire.forms import NO_STORE, Body, Headers, Refusal, Told, render
from extauthz.wire.sayable import DECISION_ID
from extauthz.wire.wording import detail

# Seconds until an approval that was not given in time is worth asking for again.
RETRY_AFTER: Final = 5

_CONTENT_TYPE: Final = "content-type"


def refuse(
    decision: Deny | Challenge | Hold, *, reader: Reader, decision_id: str, offer: ChallengeOffer | None
) -> Refusal:
    """The response for a decision that does not let the request through; `sayable` has seen it."""
    match decision:
        case Deny():
            return _deny(decision, reader, decision_id)
        case Challenge():
            return _challenge(decision, reader, decision_id, offer)
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


def _deny(decision: Deny, reader: Reader, decision_id: str) -> Refusal:
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
        headers=(("www-authenticate", _bearer(decision)),) if status == 401 else (),
        body=_body(decision.body, content_type) if decision.body else None,
    )
    refusal = render(told, reader)
    return refusal.with_headers(given) if given else refusal


def _bearer(decision: Deny) -> str:
    """What every 401 carries (RFC 9110 section 15.5.2); without a token there is no error (RFC 6750 section 3.1)."""
    return 'Bearer error="invalid_token"' if decision.reason == "invalid-token" else "Bearer"


def _body(text: str, content_type: str | None) -> Body:
    if content_type is None:
        content_type = "application/json" if text.lstrip()[:1] in ("{", "[") else "text/plain; charset=utf-8"
    return Body(text=text, content_type=content_type)


def _challenge(decision: Challenge, reader: Reader, decision_id: str, offer: ChallengeOffer | None) -> Refusal:
    cookies: Headers = ()
    location = None
    if offer is not None and reader.caller is not Caller.PREFLIGHT:
        cookies = tuple(("set-cookie", cookie) for cookie in offer.cookies)
        location = offer.location
    if reader.caller is Caller.NAVIGATION and location is not None:
        headers = ((DECISION_ID, decision_id), ("location", location), *cookies)
        return Refusal(status=302, fixed=(NO_STORE,), headers=headers)
    members: dict[str, object] = {"max_age": _max_age(decision), "demands": [_demand(d) for d in decision.demands]}
    if acr_values := _acr_values(decision):
        members["acr_values"] = acr_values
    if location is not None:
        members["challenge_uri"] = location
    status = STATUS[decision.reason]
    retry_after = None if decision.retry_after is None else math.ceil(decision.retry_after)
    told = Told(
        status=status,
        reason=decision.reason,
        detail=detail(decision.reason, status, retry_after=retry_after),
        decision_id=decision_id,
        headers=(("www-authenticate", _insufficient(decision)), *cookies),
        members=members,
        link=(location, "Prove who you are") if location is not None else None,
        retry_after=retry_after,
    )
    return render(told, reader)


def _insufficient(decision: Challenge) -> str:
    """The step-up challenge of RFC 9470 section 3."""
    description = detail("proof-required", 401)
    challenge = f'Bearer error="insufficient_user_authentication", error_description="{description}"'
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
