"""A security key or a passkey: what the page asks the browser for, and what its answer leaves.

The rule: one answer serves all demands that take one, so it is asked for as strictly as the strictest of them needs. It
can't be guessed, and so it is not counted.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from extauthz.check.proof.proving import NotProven, ProofOutcome, Proving, Unverified
from extauthz.errors import StateUnavailable
from extauthz.stepup.authenticators import Authenticator, KnownAuthenticator, challenge_of
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import Ticket
from extauthz.stepup.webauthn_answer import NotVerified
from extauthz.store.protocol import Advance, EnrolledFactor, Presence
from extauthz.values.decisions import ChallengeDemand, UserVerification

_STRICTEST: tuple[UserVerification, ...] = ("required", "preferred", "discouraged")

_log = structlog.get_logger(__name__)


def user_verification_for(demands: Iterable[ChallengeDemand]) -> UserVerification:
    """What the strictest of these demands needs."""
    return min((demand.user_verification for demand in demands), key=_STRICTEST.index)


def options_for(
    ticket: Ticket, factors: Sequence[EnrolledFactor], demands: Sequence[ChallengeDemand], relying_party: RelyingParty
) -> dict[str, Any]:
    """What `navigator.credentials.get` is given for `ticket`, as JSON; `factors` are the subject's authenticators.

    Raises:
        StateUnavailable: what is stored of one of them can't be read.
    """
    from extauthz.stepup.webauthn import assertion_options

    return assertion_options(
        relying_party,
        challenge=challenge_of(ticket.id, "webauthn.get"),
        registered=[_known(factor).authenticator for factor in factors],
        user_verification=user_verification_for(demands),
    )


async def prove_webauthn(
    proving: Proving, answer: str, *, ticket: Ticket, relying_party: RelyingParty | None
) -> ProofOutcome:
    """Check the browser's `answer` to `options_for(ticket, …)`; if it is good, the demands get their grants.

    `relying_party` is `None` where this server asks for no authenticators.

    Raises:
        StateUnavailable: the store is out of reach, or what it has of an authenticator can't be read.
    """
    accepted = proving.demands_for("webauthn")
    if not accepted or relying_party is None:
        return NotProven(reason="factor-not-accepted")
    factors = await proving.enrolled("webauthn")
    if not factors:
        return NotProven(reason="not-enrolled")
    from extauthz.stepup.webauthn import verify_assertion

    known = [_known(factor) for factor in factors]
    try:
        asserted = verify_assertion(
            answer,
            relying_party=relying_party,
            challenge=challenge_of(ticket.id, "webauthn.get"),
            known=known,
            user_verification=user_verification_for(accepted),
        )
    except NotVerified as error:
        _log.info("webauthn-refused", error=str(error), subject=proving.subject.key)
        return Unverified(reason=error.reason)
    burn = (
        Presence(factor=asserted.factor)
        if asserted.mark is None
        else Advance(factor=asserted.factor, mark=asserted.mark)
    )
    return await proving.redeem(
        burn,
        tuple(proving.grant(demand, "webauthn", user_verified=asserted.user_verified) for demand in accepted),
        mark_used=Unverified(reason="counter-not-advanced"),
        gone=Unverified(reason="unknown-credential"),
    )


def _known(factor: EnrolledFactor) -> KnownAuthenticator:
    try:
        authenticator = Authenticator.from_text(factor.public)
    except NotVerified as error:
        raise StateUnavailable(f"factor `{factor.id}`: {error}") from error
    return KnownAuthenticator(factor=factor.id, authenticator=authenticator, mark=factor.mark)
