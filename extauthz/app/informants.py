"""Everybody who is asked under some settings: to whom each question of identity goes.

The rule: the server and the commands ask the same ones in the same way.
"""

from dataclasses import replace
from pathlib import Path

from extauthz.check.checker import Checker
from extauthz.identity.config import IdentitySettings
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Awaiting, Done, FetchKeys, Introspect, Lookup, ReviewToken, UseProof
from extauthz.identity.resolver import Resolver
from extauthz.identity.user_config import IntrospectionSource
from extauthz.lookup.inquiries import Inquiries
from extauthz.lookup.introspection import Introspections
from extauthz.lookup.key_sets import PACE, KeySets, Pace
from extauthz.lookup.token_review import TokenReviews
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

UNHURRIED = Pace(patience=60.0)
"""For a person who waits for the one answer; the timeouts of the questions bound it."""


class Informants:
    """Who is asked under `settings`; paths are relative to `base`. Belongs to one event loop.

    Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(self, settings: IdentitySettings, *, base: Path, pace: Pace = PACE) -> None:
        self.keys = KeySets(settings.keys, base=base, pace=pace)
        introspected = (source for source in settings.users if isinstance(source, IntrospectionSource))
        self._introspections = Introspections(introspected, base=base)
        self._reviews = TokenReviews(settings.workload.kubernetes, base=base)
        self.inquiries = Inquiries(
            {FetchKeys: self.keys.ask, Introspect: self._introspections.ask, ReviewToken: self._reviews.ask}
        )

    def serve(self, checker: Checker) -> None:
        """Let `checker` decide by all that is learnt from now on."""

        def renew(name: str, keys: KeySet) -> None:
            ruling = checker.ruling
            checker.swap(replace(ruling, resolver=ruling.resolver.with_keys(name, keys)))

        self.keys.subscribe(renew)

    def hurry(self) -> None:
        """Ask now for what is kept new."""
        self.keys.hurry()

    async def follow(self) -> None:
        """Keep what is learnt new, for ever."""
        await self.keys.follow()

    async def close(self) -> None:
        """End what runs, and close the connections."""
        await self.keys.close()
        await self._introspections.close()
        await self._reviews.close()


async def identified(
    resolver: Resolver, request: RequestView, awaiting: Awaiting, *, settings: IdentitySettings, base: Path, now: float
) -> Identity:
    """Who makes `request`, of which `resolver` awaits something, by asking whoever a server under `settings` asks.

    Raises `Refused` if that ends it, and `ConfigurationError` for files that can't be used.
    """
    informants = Informants(settings, base=base, pace=UNHURRIED)
    try:
        # Nothing is used up by looking: a proof of possession counts as one that comes for the first time.
        return await informants.inquiries.beside({UseProof: _used_first}).until_known(
            awaiting,
            lambda answers: informants.keys.newest(resolver).identify(request, now=now, answers=answers),
        )
    finally:
        await informants.close()


async def _used_first(_: Lookup) -> Answer:
    return Done()
