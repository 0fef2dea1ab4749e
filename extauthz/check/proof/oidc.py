"""A new login at the user's own provider: from what the browser came back with to grants.

The rule: the proof is as old as the login, whatever the token says of itself; and only the ticket makes it good once,
since nothing is kept of it.
"""

from collections.abc import Sequence

import structlog

from extauthz.check.proof.proving import NotProven, ProofOutcome, Proving, Unverified
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.oidc import Authenticated, FlowSecrets, OidcRefused, check_id_token, read_return, redirect_uri
from extauthz.stepup.ticket import Ticket

_log = structlog.get_logger(__name__)


async def authenticate(
    parameters: Sequence[tuple[str, str]], *, ticket: Ticket, client: OidcClient, keys: KeyRing, now: float
) -> Authenticated | Unverified:
    """Ask the provider what the `parameters` of the callback are good for; `ticket` is what their `state` holds.

    `now` in seconds since the epoch.

    Raises:
        IssuerUnavailable: the provider gives no answer that can be used.
        InvalidTicket: the state was made with a key that is gone.
    """
    provider = await client.provider()
    try:
        back = read_return(parameters, provider=provider)
        secrets = FlowSecrets.of(back.state, keys)
        claims = await client.claims(back.code, code_verifier=secrets.code_verifier, redirect_uri=redirect_uri(ticket))
        return check_id_token(claims, ticket=ticket, nonce=secrets.nonce, provider=provider, now=now)
    except OidcRefused as error:
        _log.info("oidc-refused", error=str(error), subject=ticket.subject.key)
        return Unverified(reason=error.reason)


async def prove_oidc(proving: Proving, authenticated: Authenticated) -> ProofOutcome:
    """Leave the grants for what was `authenticated`.

    Raises:
        StateUnavailable: the store is out of reach.
    """
    # Nothing of the subject's is burned, so neither can come; if one did, it would be no proof.
    unproven = NotProven(reason="code-used")
    return await proving.redeem(
        None,
        tuple(proving.grant(demand, "oidc", issued_at=authenticated.auth_time) for demand in authenticated.demands),
        mark_used=unproven,
        gone=unproven,
    )
