"""The letters about approvals on their way from the store to whoever is told.

The rules: each addressee has a lane of its own, in which it alone waits for itself. A letter is in the store until it
was taken, so that it may come twice and is never lost; who tells is any replica, and who dies while telling is followed
by another one. A receiver that is down is asked by one letter at a time, and less and less often.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol, assert_never

import msgspec
import structlog

from extauthz.approval.telling.attempts import Delivered, Failed, Outcome, Patience, delay, pause
from extauthz.check.approval_news import ApprovalNews
from extauthz.errors import StateUnavailable
from extauthz.store.letters import LetterStore
from extauthz.values.letters import Claim, Letter, LetterCounts
from extauthz.values.quoting import detail_of

AT_ONCE: Final = 8
"""Letters that are on their way to one addressee."""
BREATH: Final = 0.05
"""Seconds between two looks, at least, however much news there is."""
IDLE: Final = 1.0
"""Seconds between two looks at the store, if there is no news: for letters that are due again, and those of others."""
MARGIN: Final = 15.0
"""Seconds that a claim lasts beyond the time that an attempt may take."""
COUNTING: Final = 15.0
"""Seconds between two times that letters are counted."""
_AGAIN: Final = 1.0
"""Seconds after which a store that was out of reach is tried again."""
_WANTS_NO_MORE: Final = "not sent: it has answered with 410 before, that it wants no more"

_log = structlog.get_logger(__name__)


class Sender(Protocol):
    """Who brings letters to one addressee. No error leaves."""

    async def send(self, letter: Letter, *, now: float) -> Outcome:
        """Try once, at `now` in seconds since the epoch."""


class Addressee(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told: by `sender`, of which an attempt takes no more than `seconds`, with `patience`."""

    sender: Sender
    seconds: float
    patience: Patience


class DeliveryStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with an addressee: what became of the attempts of this process since its start, and how many
    letters of it the store had (`None`: not known), when they were counted last.

    `failed` are attempts that are made again; `given_up` are letters. `is_gone` if it wants no more.
    """

    delivered: int
    failed: int
    given_up: int
    is_gone: bool
    counts: LetterCounts | None


class Deliveries:
    """Brings letters from `store` to the `addressees`, which are known by the names of their sinks.

    `clock` says the seconds since the epoch, `chance` a random number from 0 to 1. Belongs to one event loop.
    """

    def __init__(
        self,
        store: LetterStore,
        addressees: Mapping[str, Addressee],
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = {
            sink: _Lane(sink, addressee, store=store, clock=clock, chance=chance)
            for sink, addressee in addressees.items()
        }
        self._counts: Mapping[str, LetterCounts] | None = None

    @property
    def standings(self) -> Mapping[str, DeliveryStanding]:
        """How it stands now, by the name of the sink."""
        nothing = LetterCounts(waiting=0, dead=0)
        return {
            sink: DeliveryStanding(
                delivered=lane.delivered,
                failed=lane.failed,
                given_up=lane.given_up,
                is_gone=lane.is_gone,
                counts=None if self._counts is None else self._counts.get(sink, nothing),
            )
            for sink, lane in self._lanes.items()
        }

    def hurry(self) -> None:
        """Look now, and try those again who wanted no more."""
        for lane in self._lanes.values():
            lane.hurry()

    async def follow(self, news: ApprovalNews) -> None:
        """Deliver what there is, whenever there is `news`, for ever."""
        if not self._lanes:
            return
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes.values():
                tasks.create_task(lane.run())
            tasks.create_task(self._count())
            with news.listening() as listener:
                while True:
                    await listener.next()
                    for lane in self._lanes.values():
                        lane.wake()

    async def _count(self) -> None:
        while True:
            try:
                self._counts = await self._store.letter_counts(now=self._clock())
            except StateUnavailable:  # `store_watch` tells of it
                self._counts = None
            await asyncio.sleep(COUNTING)


class _Lane:
    def __init__(
        self,
        sink: str,
        addressee: Addressee,
        *,
        store: LetterStore,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._addressee = addressee
        self._store = store
        self._clock = clock
        self._chance = chance
        self._woken = asyncio.Event()
        self._hurried = asyncio.Event()
        self._failures = 0
        self.is_gone = False
        self.delivered = self.failed = self.given_up = 0

    def wake(self) -> None:
        """There may be something."""
        self._woken.set()

    def hurry(self) -> None:
        """Leave the addressee alone no longer."""
        self.is_gone = False
        self._hurried.set()
        self._woken.set()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                await self._look()
            except StateUnavailable:  # `store_watch` tells of it
                await asyncio.sleep(_AGAIN)
            except Exception:  # noqa: BLE001 - whatever it is, the letters stay, and the others go on
                _log.exception("deliveries-failed", sink=self._sink)
                await asyncio.sleep(_AGAIN)

    async def _look(self) -> None:
        """Deliver what is due; wait if there is nothing."""
        self._woken.clear()
        claims = await self._store.claim_letters(
            self._sink,
            # One is enough to see whether it is up again.
            most=1 if self._failures else AT_ONCE,
            lease=self._addressee.seconds + MARGIN,
            now=self._clock(),
        )
        if claims:
            await self._deliver(claims)
        else:
            await asyncio.sleep(BREATH)
            await _within(IDLE, self._woken)

    async def _deliver(self, claims: tuple[Claim, ...]) -> None:
        """Try each once; then leave the addressee alone if it is down."""
        outcomes = await asyncio.gather(*(self._try(claim) for claim in claims))
        down = [one.wait for one in outcomes if isinstance(one, Failed) and one.is_down]
        if not down:
            self._failures = 0
            return
        self._failures += 1
        self._hurried.clear()
        await _within(pause(self._failures, asked=max(down)), self._hurried)

    async def _try(self, claim: Claim) -> Outcome:
        letter = claim.letter
        if self.is_gone:
            outcome: Outcome = Failed(error=_WANTS_NO_MORE, is_final=True)
        else:
            outcome = await self._sent(letter)
        # What became of it is true, however long the store takes to hear of it; after the claim it would be too late.
        until = time.monotonic() + MARGIN
        while True:
            try:
                await self._settle(claim, outcome)
            except StateUnavailable as error:
                if time.monotonic() > until:
                    _log.warning("delivery-not-settled", sink=self._sink, event_id=letter.event, error=str(error))
                    return outcome
                await asyncio.sleep(_AGAIN)
            else:
                return outcome

    async def _sent(self, letter: Letter) -> Outcome:
        try:
            return await self._addressee.sender.send(letter, now=self._clock())
        except Exception as error:  # noqa: BLE001 - whatever it is, the letter stays, and so do the others
            _log.exception("delivery-failed", sink=self._sink, event_id=letter.event)
            return Failed(error=f"an error of this server: {detail_of(error)}")

    async def _settle(self, claim: Claim, outcome: Outcome) -> None:
        letter, now = claim.letter, self._clock()
        match outcome:
            case Delivered():
                await self._store.letter_done(letter.id, claim.attempt, now=now)
                self.delivered += 1
            case Failed() if outcome.is_final or self._is_out_of_patience(claim, now):
                self.is_gone |= outcome.is_gone
                await self._store.letter_dead(letter.id, claim.attempt, error=outcome.error, now=now)
                self.given_up += 1
                _log.warning("delivery-given-up", sink=self._sink, event_id=letter.event, error=outcome.error)
            case Failed():
                wait = delay(claim.attempt, asked=outcome.wait, chance=self._chance())
                await self._store.letter_later(
                    letter.id, claim.attempt, due_at=now + wait, error=outcome.error, now=now
                )
                self.failed += 1
                _log.info("delivery-failed", sink=self._sink, event_id=letter.event, error=outcome.error, again_in=wait)
            case _:
                assert_never(outcome)

    def _is_out_of_patience(self, claim: Claim, now: float) -> bool:
        return self._addressee.patience.is_out(attempt=claim.attempt, age=now - claim.letter.at)


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for the event, but no longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
