"""What a challenge page offers: the ways in which this subject can meet these demands, here and now.

The rule: nothing is offered that could not be accepted; and where there is nothing to offer, the page says why.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from extauthz.check.proof.webauthn import options_for, user_verification_for
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import Ticket
from extauthz.store.protocol import EnrolledFactor, Store
from extauthz.values.decisions import ChallengeDemand, Factor
from extauthz.values.request import empty
from extauthz.web import notices
from extauthz.web.gate import TurnedAway

_ORDER: tuple[Factor, ...] = ("webauthn", "totp", "oidc", "recovery")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One way. `demands` are what it confirms; `partial`: others are left, which are asked for afterwards.

    `options` is what a script gives to the browser, as JSON; `verifies` whether the browser will ask for a PIN or a
    fingerprint; `provider` is where the user logs in.
    """

    factor: Factor
    demands: tuple[ChallengeDemand, ...]
    partial: bool
    options: str = ""
    verifies: bool = False
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What this server can ask for besides codes: as whom it asks for authenticators, and by issuer of subjects the
    provider that they log in at.
    """

    relying_party: RelyingParty | None = None
    providers: Mapping[str, OidcClient] = field(default_factory=empty)

    def __post_init__(self) -> None:
        if self.relying_party is not None:
            # Whoever offers authenticators needs it; the first user should not wait for it.
            import extauthz.stepup.webauthn  # noqa: F401 - it is imported by who uses it

    def relying_party_at(self, authority: str) -> RelyingParty | None:
        """As whom authenticators are asked for at the page of this origin; browsers would refuse any other.

        That page alone: what a key is touched for at another one of ours was read there, and proves nothing here.
        """
        party, origin = self.relying_party, f"https://{authority}"
        if party is None or origin not in party.origins:
            return None
        return party.model_copy(update={"origins": (origin,)})

    def relying_party_for(self, ticket: Ticket) -> RelyingParty | None:
        """As whom authenticators are asked for on the ticket's origin."""
        return self.relying_party_at(ticket.action.authority)

    def provider_for(self, ticket: Ticket) -> OidcClient | None:
        """Where the ticket's subject logs in."""
        return self.providers.get(ticket.subject.issuer)


async def offers_for(ticket: Ticket, *, store: Store, means: Means) -> tuple[Offer, ...]:
    """What the demands accept and the subject has; nothing, where they have none of it.

    Raises:
        TurnedAway: nobody could meet them here.
        StateUnavailable: the store is out of reach.
    """
    wanted = {factor for demand in ticket.demands for factor in demand.factors}
    usable = wanted - _unusable(ticket, means)
    if not usable:
        raise TurnedAway(notices.NOT_ACCEPTED, ticket)
    enrolled = [factor for factor in await store.factors(ticket.subject) if factor.confirmed]
    had = {"oidc", *(factor.kind for factor in enrolled)}
    return tuple(_offer(factor, ticket, enrolled, means) for factor in _ORDER if factor in usable & had)


def _unusable(ticket: Ticket, means: Means) -> set[Factor]:
    unusable: set[Factor] = set()
    if means.relying_party_for(ticket) is None:
        unusable.add("webauthn")
    if means.provider_for(ticket) is None:
        unusable.add("oidc")
    return unusable


def _offer(factor: Factor, ticket: Ticket, enrolled: list[EnrolledFactor], means: Means) -> Offer:
    demands = tuple(demand for demand in ticket.demands if factor in demand.factors)
    partial = len(demands) < len(ticket.demands)
    party, provider = means.relying_party_for(ticket), means.provider_for(ticket)
    if factor == "webauthn" and party is not None:
        authenticators = [one for one in enrolled if one.kind == "webauthn"]
        return Offer(
            factor=factor,
            demands=demands,
            partial=partial,
            options=json.dumps(options_for(ticket, authenticators, demands, party)),
            verifies=user_verification_for(demands) == "required",
        )
    if factor == "oidc" and provider is not None:
        return Offer(factor=factor, demands=demands, partial=partial, provider=urlsplit(provider.issuer).netloc)
    return Offer(factor=factor, demands=demands, partial=partial)
