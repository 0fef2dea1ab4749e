"""From what the candidate rules need to facts: one round trip to the store, and the attribute sources beside it.

The rule kept here: what a rule that is obeyed wants of the store and can't get is no answer at all
(`StateUnavailable`); what only rules in shadow want never holds a request up.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from extauthz.check.activity import Activities
from extauthz.errors import StateUnavailable
from extauthz.policy.asking import NOTHING_ASKED, Inquiry, ask
from extauthz.policy.candidates import Candidates
from extauthz.policy.sessions import session_ages
from extauthz.stepup.fingerprint import fingerprint
from extauthz.store.protocol import Found, Store
from extauthz.values.grants import OF_A_SESSION, Facts, Needs
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, RequestView

SHADOW_PATIENCE: Final = 0.05
"""Seconds that a look-up may take that is for rules in shadow only."""
_OUTSIDE_THE_STORE: Final = frozenset({"attributes"})


Attributes = Mapping[str, Mapping[str, Any]]
"""What attribute sources have told, by their names."""


class AttributeSources(Protocol):
    """What tells of a request or its caller and stands outside."""

    async def fetch(self, names: frozenset[str], *, request: RequestView, identity: Identity, now: float) -> Attributes:
        """What each of these sources tells; one that can't be asked is missing. Raises nothing."""


class Gathered(msgspec.Struct, frozen=True):
    """What was asked, and the facts with the answers."""

    inquiry: Inquiry
    facts: Facts


class Gatherer:
    """Looks up what decisions need. `activities` and `sources` are `None` where there are none."""

    def __init__(self, store: Store, activities: Activities | None, sources: AttributeSources | None) -> None:
        self._store = store
        self._activities = activities
        self._sources = sources

    async def gather(
        self, candidates: Candidates, *, request: RequestView, identity: Identity, local: Facts, now: float
    ) -> Gathered:
        """The facts for the candidates of this request and identity, `local` among them.

        Raises `StateUnavailable` if the store can't tell what a rule that is obeyed wants to know.
        """
        wanted = candidates.plan.needs
        if not wanted:
            return Gathered(NOTHING_ASKED, local)
        inquiry = ask(candidates, request=request, identity=identity, facts=local, now=now)
        if self._sources is None or not wanted.sources:
            return Gathered(inquiry, await self._with_answers(wanted, inquiry, request, identity, local, now))
        fetching = self._sources.fetch(wanted.sources, request=request, identity=identity, now=now)
        beside = asyncio.ensure_future(fetching if "attributes" in wanted.obeyed else _soon(fetching))
        try:
            facts = await self._with_answers(wanted, inquiry, request, identity, local, now)
            return Gathered(inquiry, replace(facts, attributes=await beside))
        finally:
            beside.cancel()

    async def _with_answers(
        self, wanted: Needs, inquiry: Inquiry, request: RequestView, identity: Identity, local: Facts, now: float
    ) -> Facts:
        """The facts with what the store knows, if anything is wanted of it."""
        user, session = identity.user, identity.session
        in_session = user is not None and session is not None and not wanted.all.isdisjoint(OF_A_SESSION)
        if not in_session and not inquiry.questions:
            return local
        try:
            found = await self._look_up(wanted, inquiry, request, identity, now)
        except (StateUnavailable, TimeoutError):
            if wanted.obeyed - _OUTSIDE_THE_STORE:
                raise
            return replace(local, unfetched=True)  # a rule in shadow is never obeyed: it errs, and nothing is denied
        if user is None or session is None or not wanted.ages:
            return replace(local, grants=found.grants, answers=found.answers)
        activities = self._activities
        seen = found.session if activities is None else activities.times(user.subject, session, found.session)
        ages = session_ages(user, seen, now=now)
        return replace(local, grants=found.grants, answers=found.answers, session=ages)

    async def _look_up(
        self, wanted: Needs, inquiry: Inquiry, request: RequestView, identity: Identity, now: float
    ) -> Found:
        looking = self._store.look_up(
            identity.subject,
            identity.session,
            questions=inquiry.questions,
            fingerprint=fingerprint(request),
            now=now,
        )
        if wanted.obeyed - _OUTSIDE_THE_STORE:
            return await looking
        return await asyncio.wait_for(looking, SHADOW_PATIENCE)


async def _soon(fetching: Coroutine[Any, Any, Attributes]) -> Attributes:
    """What is fetched, if that does not hold a request up."""
    try:
        return await asyncio.wait_for(fetching, SHADOW_PATIENCE)
    except TimeoutError:
        return EMPTY
