"""What is revoked, and what others say of subjects and devices, as this process knows it: read from the store before
the first decision, and again and again.

The rules: nobody is let through on knowledge that is older than it may be. Only what the store has said changes what is
known; while it is silent, what is known stays in force, and its age is told.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
import structlog

from extauthz.errors import ExtauthzError, RevocationsStale, StateUnavailable
from extauthz.identity.revocations import Kind, Revocations
from extauthz.identity.signals.facts import Signals
from extauthz.store.revocations import Changes, RevocationStore
from extauthz.values.identity import Identity, Subject
from extauthz.values.seen import Seen
from extauthz.values.signals import OutsideSignal

POLL: Final = 0.25
"""Seconds between two looks at the store: a revocation is in force everywhere within a second."""
PATIENCE: Final = 30.0
"""Seconds that one look may take."""
SWEEP: Final = 60.0
"""Seconds, at least, between two times that what has ended is forgotten."""
MOST_UNNAMED: Final = 4096
"""Identities that are remembered not to be named."""

# Unlike the monotonic clock it goes on while the machine sleeps: what is known gets older meanwhile.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_log = structlog.get_logger(__name__)


elapsed: Final = partial(time.clock_gettime, _CLOCK)
"""Seconds on a clock that nobody sets."""


class FeedStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with the revocations; times are seconds since the epoch.

    At `confirmed_at` they were last known to be what the store has, `None` before the first time. Since `failing_since`
    that could not be found out, because of `error`; both are `None` while all is well. `is_stale`: requests with a
    subject are denied. `counts` are revocations by kind, `signals` how many signals are known.
    """

    confirmed_at: float | None
    failing_since: float | None
    error: str | None
    is_stale: bool
    counts: Mapping[Kind, int]
    signals: int


@dataclass(slots=True)
class _Known:
    """What is known at one time. `unnamed` are identities of which nothing is in there, by `id`: most callers are
    asked about again and again, and are looked for once while nothing changes; `lately` are those of them that were
    asked about last. While it `names_nobody` at all, none has to be remembered. Each step is one for all threads."""

    revocations: Revocations
    signals: Signals
    unnamed: OrderedDict[int, Identity] = field(default_factory=OrderedDict)
    lately: Seen = field(default_factory=Seen)
    names_nobody: bool = field(init=False)

    def __post_init__(self) -> None:
        self.names_nobody = not (self.signals or any(self.revocations.counts.values()))

    def look_for(self, identity: Identity, now: float) -> None:
        """As `RevocationFeed.check`, of an identity that is not among those of `lately`."""
        if self.names_nobody or self.unnamed.get(id(identity)) is identity:
            self.lately.add(identity)
            return
        if self.signals.names(identity) or self.revocations.names(identity):
            # Who is disabled has no good token either, and is told what a new one would not change.
            self.signals.check(identity, now=now)
            self.revocations.check(identity, now=now)
            return
        if len(self.unnamed) >= MOST_UNNAMED:
            self.unnamed.popitem(last=False)
        self.unnamed[id(identity)] = identity
        self.lately.add(identity)


class RevocationFeed:
    """Follows `store`. `max_staleness` is in seconds, infinite for never. Implements `values.signals.Reports`.

    `check` and the reports may be called from any thread; the rest belongs to one event loop. `now` gives seconds since
    the epoch, `clock` those of a clock that nobody sets.
    """

    def __init__(
        self,
        store: RevocationStore,
        *,
        max_staleness: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._store = store
        self._max_staleness = max_staleness
        self._now = now
        self._clock = clock
        self._known = _Known(Revocations(), Signals())
        self._fresh_until = float("-inf")
        self._mark: str | None = None
        self._one_at_a_time = asyncio.Lock()
        self._sweep_at = clock() + SWEEP
        self._confirmed_at: float | None = None
        self._failing_since: float | None = None
        self._error: str | None = None
        self._told_stale = False

    @property
    def standing(self) -> FeedStanding:
        """How it stands now."""
        return FeedStanding(
            confirmed_at=self._confirmed_at,
            failing_since=self._failing_since,
            error=self._error,
            is_stale=self._is_stale,
            counts=self._known.revocations.counts,
            signals=len(self._known.signals),
        )

    @property
    def _is_stale(self) -> bool:
        return self._clock() > self._fresh_until

    def check(self, identity: Identity, *, now: float) -> None:
        """Return if nothing of `identity` is revoked at `now` (seconds since the epoch), as far as anybody can know.

        Raises:
            SubjectBlocked, TokenRevoked: as `Revocations.check` and `Signals.check`.
            RevocationsStale: there is a subject, and nobody knows whether it is blocked.
        """
        known, clock = self._known, self._clock
        if not known.lately.has(identity):
            known.look_for(identity, now)
        if clock() > self._fresh_until and identity.subject is not None:
            raise RevocationsStale("revocations: what is known of them is older than `revocations.max_staleness`")

    def of_subject(self, subject: Subject, session: str | None, *, now: float) -> tuple[OutsideSignal, ...]:
        """As `Reports.of_subject`. Of what is known too long nobody asks: `check` has refused the subject."""
        return self._known.signals.of_subject(subject, session, now=now)

    def of_device(self, device: str, *, now: float) -> tuple[OutsideSignal, ...]:
        """As `Reports.of_device`."""
        return self._known.signals.of_device(device, now=now)

    def has_device(self, device: str, subject: Subject, *, proven_at: float, now: float) -> bool:
        """As `Revocations.has_device`, as far as anybody can know: `check` says whether that is too old."""
        return self._known.revocations.has_device(device, subject, proven_at=proven_at, now=now)

    async def load(self) -> None:
        """Learn what the store knows now, before whoever waits for it goes on.

        Raises:
            StateUnavailable: the store is out of reach.
        """
        async with self._one_at_a_time:
            # What is learnt is as old as the question.
            asked_at, asked = self._now(), self._clock()
            try:
                async with asyncio.timeout(PATIENCE):
                    changes = await self._store.revocation_changes(self._mark)
            except TimeoutError:
                raise StateUnavailable(f"store: no answer within {PATIENCE:g} s") from None
            await self._take(changes)
            self._fresh_until, self._confirmed_at = asked + self._max_staleness, asked_at

    async def follow(self) -> None:
        """Keep what is known new, for ever."""
        while True:
            await asyncio.sleep(POLL)
            try:
                await self.load()
            except Exception as error:  # noqa: BLE001 - whatever it is, what is known stays, and gets older
                self._failed(error)
            else:
                self._succeeded()

    async def _take(self, changes: Changes) -> None:
        known, signals, sweeps = self._known.revocations, self._known.signals, self._clock() >= self._sweep_at
        if changes.whole:
            known = await asyncio.to_thread(Revocations, changes.put)
            signals = await asyncio.to_thread(Signals, changes.signals)
        if not changes.whole and (changes.put or changes.withdrawn):
            known = await asyncio.to_thread(known.changed, changes.put, changes.withdrawn)
        if not changes.whole and changes.signals:
            signals = await asyncio.to_thread(signals.changed, changes.signals)
        if sweeps:
            known = await asyncio.to_thread(known.without_ended, self._now())
            signals = await asyncio.to_thread(signals.without_ended, self._now())
            self._sweep_at = self._clock() + SWEEP
        if known is not self._known.revocations or signals is not self._known.signals:
            self._known = _Known(known, signals)
        before = self._mark
        self._mark = changes.mark
        if before is not None and before != changes.mark:
            _log.info(
                "revocations-changed",
                whole=changes.whole,
                put=len(changes.put),
                withdrawn=len(changes.withdrawn),
                signals=len(changes.signals),
            )

    def _failed(self, error: Exception) -> None:
        known = isinstance(error, ExtauthzError)
        self._error = str(error) if known else type(error).__name__
        if self._failing_since is None:
            self._failing_since = self._now()
            _log.error("revocations-out-of-reach", error=self._error, exc_info=None if known else error)
        if self._is_stale and not self._told_stale:
            self._told_stale = True
            _log.error("revocations-stale", error=self._error, since=self._failing_since)

    def _succeeded(self) -> None:
        if self._failing_since is not None:
            _log.info("revocations-back", seconds=round(self._now() - self._failing_since, 3))
        self._failing_since, self._error, self._told_stale = None, None, False
