"""From what the candidate rules need to facts: one round trip to the store, and the attribute sources beside it.

The rule kept here: what a rule that is obeyed wants of the store and can't get is no answer at all
(`StateUnavailable`); what only rules in shadow want never holds a request up.
"""

import asyncio
from typing import Final

import msgspec
from msgspec.structs import replace

from extauthz.check.activity import Activities
from extauthz.check.habits import Habits
from extauthz.check.waits import Waits
from extauthz.errors import StateUnavailable
from extauthz.lookup.attributes.sources import AttributeSources, Fetched
from extauthz.policy.asking import NOTHING_ASKED, Inquiry, ask
from extauthz.policy.candidates import Candidates
from extauthz.policy.sessions import session_ages
from extauthz.stepup.fingerprint import fingerprint
from extauthz.store.protocol import Found, Store
from extauthz.values.grants import OF_A_SESSION, Facts, Lookup, Needs
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

SHADOW_PATIENCE: Final = 0.05
"""Seconds that a look-up may take that is for rules in shadow only."""
_OUTSIDE_THE_STORE: Final[frozenset[Lookup]] = frozenset({"attributes"})


class Gathered(msgspec.Struct, frozen=True):
    """What was asked, and the facts with the answers."""

    inquiry: Inquiry
    facts: Facts


class Gatherer:
    """Looks up what decisions need. `activities`, `sources` and `habits` are `None` where there are none."""

    def __init__(
        self,
        store: Store,
        activities: Activities | None = None,
        sources: AttributeSources | None = None,
        habits: Habits | None = None,
    ) -> None:
        self._store = store
        self._activities = activities
        self._habits = habits
        self._sources = sources

    def at_once(
        self, wanted: Needs, *, request: RequestView, identity: Identity, local: Facts, now: float
    ) -> Facts | None:
        """The facts, where all that is wanted is remembered in this process; `None` where somebody must be asked."""
        if self._sources is None or not wanted.all <= _OUTSIDE_THE_STORE:
            return None
        names = wanted.sources | wanted.shadow_sources
        recalled = self._sources.recalled(names, request=request, identity=identity, now=now)
        return None if recalled is None else replace(local, attributes=recalled)

    async def gather(
        self,
        candidates: Candidates,
        *,
        request: RequestView,
        identity: Identity,
        local: Facts,
        now: float,
        waits: Waits,
        patience: float | None = None,
    ) -> Gathered:
        """The facts for the candidates of this request and identity, `local` among them.

        Attribute sources have `patience` seconds; who is waited for goes into `waits`. Raises `StateUnavailable` if the
        store can't tell what a rule that is obeyed wants to know, or such a source that denies then.
        """
        wanted = candidates.plan.needs
        if not wanted:
            return Gathered(NOTHING_ASKED, local)
        inquiry = ask(candidates, request=request, identity=identity, facts=local, now=now)
        if self._sources is None or "attributes" not in wanted.all:
            return Gathered(inquiry, await self._with_answers(wanted, inquiry, request, identity, local, now, waits))
        telling = asyncio.create_task(self._told(self._sources, wanted, request, identity, now, waits, patience))
        try:
            facts = await self._with_answers(wanted, inquiry, request, identity, local, now, waits)
            told = await telling
        finally:
            telling.cancel()
        if told.denied:
            name = min(told.denied)
            raise StateUnavailable(f"`attributes.{name}` could not be looked up")
        return Gathered(inquiry, replace(facts, attributes=told.attributes))

    async def _told(
        self,
        sources: AttributeSources,
        wanted: Needs,
        request: RequestView,
        identity: Identity,
        now: float,
        waits: Waits,
        patience: float | None,
    ) -> Fetched:
        """What attribute sources tell, each for as long as it is worth waiting; none denies for rules in shadow."""
        in_shadow = SHADOW_PATIENCE if patience is None else min(SHADOW_PATIENCE, patience)
        with waits.on("attributes"):
            obeyed, shadow = await asyncio.gather(
                sources.fetch(wanted.sources, request=request, identity=identity, now=now, patience=patience),
                sources.fetch(wanted.shadow_sources, request=request, identity=identity, now=now, patience=in_shadow),
            )
        return replace(obeyed, attributes={**obeyed.attributes, **shadow.attributes})

    async def _with_answers(
        self,
        wanted: Needs,
        inquiry: Inquiry,
        request: RequestView,
        identity: Identity,
        local: Facts,
        now: float,
        waits: Waits,
    ) -> Facts:
        """The facts with what the store knows, if anything is wanted of it."""
        user, session = identity.user, identity.session
        in_session = user is not None and session is not None and not wanted.all.isdisjoint(OF_A_SESSION)
        is_approved = wanted.approvals and identity.subject is not None  # which needs no session
        if not in_session and not is_approved and not inquiry.questions:
            return local
        try:
            with waits.on("store"):
                found = await self._look_up(wanted, inquiry, request, identity, now)
        except (StateUnavailable, TimeoutError):
            if wanted.obeyed - _OUTSIDE_THE_STORE:
                raise
            return replace(local, unfetched=True)  # a rule in shadow is never obeyed: it errs, and nothing is denied
        habits = self._habits
        answers = found.answers if habits is None else habits.beside(identity.subject, found.answers)
        if user is None or session is None or not wanted.ages:
            return replace(local, grants=found.grants, answers=answers)
        activities = self._activities
        seen = found.session if activities is None else activities.times(user.subject, session, found.session)
        ages = session_ages(user, seen, now=now)
        return replace(local, grants=found.grants, answers=answers, session=ages)

    async def _look_up(
        self, wanted: Needs, inquiry: Inquiry, request: RequestView, identity: Identity, now: float
    ) -> Found:
        looking = self._store.look_up(
            identity.subject,
            identity.session or ("" if wanted.approvals else None),
            questions=inquiry.questions,
            fingerprint=fingerprint(request),
            now=now,
        )
        if wanted.obeyed - _OUTSIDE_THE_STORE:
            return await looking
        return await asyncio.wait_for(looking, SHADOW_PATIENCE)
