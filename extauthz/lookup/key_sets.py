"""The keys of everybody who publishes theirs on the network: fetched, kept, and asked for again.

The rules: good keys are replaced by good keys only, and kept as long as nothing better is to be had; one fetch of a
source at a time, whoever wants it; and a stranger's token with a made-up `kid` makes us ask seldom.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import structlog

from extauthz.errors import ConfigurationError, ExtauthzError
from extauthz.identity.key_config import DiscoveredKeys, KeyAddress, KeyFile, KeySource, WorkloadApi
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Done, FetchKeys, Lookup, Unreachable
from extauthz.identity.resolver import Resolver
from extauthz.lookup.key_fetching import Fetcher, KeyFetcher, Published
from extauthz.lookup.peers import TIMEOUT

Result = Literal["changed", "unchanged", "failed", "refused"]
"""How a fetch ended: other keys, the same, nobody there, nothing that can be used."""
RESULTS: Final[tuple[Result, ...]] = ("changed", "unchanged", "failed", "refused")

Taker = Callable[[str, KeySet], None]
"""Is given the name of a source and its new keys, on the event loop."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often keys are asked for; all in seconds.

    Good keys are asked for again after what the publisher says (`usual` if nothing), within `shortest` and `longest`:
    a removed key is good that long. After a failure it is `first_retry`, doubled each time up to `longest_retry`.
    Tokens with unknown keys lead to one fetch in `between_provoked`, and wait for it no longer than `patience`. Each
    question of a fetch may take `timeout`.
    """

    shortest: float = 60.0
    usual: float = 300.0
    longest: float = 3600.0
    first_retry: float = 1.0
    longest_retry: float = 300.0
    between_provoked: float = 10.0
    patience: float = 1.0
    timeout: float = TIMEOUT

    def after_success(self, wanted: float | None) -> float:
        """Until good keys are asked for again; `wanted` is what their publisher says."""
        return self.usual if wanted is None else min(max(wanted, self.shortest), self.longest)

    def after_failure(self, failures: int) -> float:
        """Until the next try, when there were `failures` before this one."""
        return min(self.first_retry * 2.0 ** min(failures, 20), self.longest_retry)


PACE: Final = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with the keys of one source; times are seconds since the epoch.

    `confirmed_at` is when its keys were last known to be what it publishes, `None` before there are any. Since
    `failing_since` that could not be found out, because of `error`; both are `None` while all is well. `fetches`
    counts results; the last of them came after `took` seconds.
    """

    confirmed_at: float | None = None
    failing_since: float | None = None
    error: str | None = None
    fetches: Mapping[Result, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    took: float = 0.0


class KeySets:
    """Follows all `sources` whose keys are not in files; paths are relative to `base`. Belongs to one event loop.

    Raises `ConfigurationError` for a file of authorities that can't be used.
    """

    def __init__(self, sources: Iterable[KeySource], *, base: Path, pace: Pace = PACE) -> None:
        self._takers: list[Taker] = []
        self._followed = {
            source.name: _Followed(source, source.place, base=base, pace=pace, told=self._tell)
            for source in sources
            if not isinstance(source.place, KeyFile)
        }

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How it stands with each source."""
        return {name: followed.standing for name, followed in self._followed.items()}

    async def ask(self, lookup: Lookup) -> Answer:
        """`Done` if what the source publishes is known now, as far as that can be known."""
        followed = self._followed.get(lookup.source)
        if followed is None or not isinstance(lookup, FetchKeys):
            return Unreachable(detail="nothing says where its keys are")
        return await followed.ask(lookup.held)

    def subscribe(self, taker: Taker) -> None:
        """Hand all new keys to `taker`, before whoever asked for them is answered."""
        self._takers.append(taker)

    def newest(self, resolver: Resolver) -> Resolver:
        """The resolver with the newest keys of every source that has some."""
        for name, followed in self._followed.items():
            if followed.keys is not None:
                resolver = resolver.with_keys(name, followed.keys)
        return resolver

    def hurry(self) -> None:
        """Ask everybody now, whatever is due."""
        for followed in self._followed.values():
            followed.hurry()

    async def follow(self) -> None:
        """Keep the keys of all sources new, for ever."""
        await asyncio.gather(*(followed.follow() for followed in self._followed.values()))

    async def close(self) -> None:
        """End what runs, and close the connections."""
        for followed in self._followed.values():
            await followed.close()

    def _tell(self, name: str, keys: KeySet) -> None:
        for taker in self._takers:
            taker(name, keys)


class _Followed:
    """One source."""

    def __init__(
        self,
        source: KeySource,
        place: KeyAddress | DiscoveredKeys | WorkloadApi,
        *,
        base: Path,
        pace: Pace,
        told: Taker,
    ) -> None:
        self.standing = Standing()
        self.keys: KeySet | None = None
        self._source = source
        self._fetcher = _fetcher(place, base=base, timeout=pace.timeout, news=self.hurry)
        self._pace = pace
        self._told = told
        self._held: Published | None = None
        self._failures = 0
        self._running: asyncio.Task[None] | None = None
        self._due = 0.0
        self._hurried = False
        self._provoked_at = -pace.between_provoked
        self._rescheduled = asyncio.Event()

    async def ask(self, held: frozenset[str | None] | None) -> Answer:
        failing = self.standing.error is not None
        # They came while whoever asks was looking through those before: no reason to fetch, and to use up a turn.
        if self.keys is not None and self.keys.ids != held and not failing:
            return Done()
        now = time.monotonic()
        if self._running is None and now - self._provoked_at >= self._pace.between_provoked:
            self._provoked_at = now
            self._start(anew=True)
        # Nobody waits for a source that has just failed: their calls would take the places of all others.
        if self._running is not None and not failing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.patience):
                    await asyncio.shield(self._running)
        error = self.standing.error
        if error is not None:
            return Unreachable(detail=error)
        return Done() if self.keys is not None else Unreachable(detail="there was no answer yet")

    async def follow(self) -> None:
        """Fetch now, and whenever it is due."""
        while True:
            if self._running is None:
                self._start(anew=False)
            if self._running is not None:
                await asyncio.shield(self._running)
            while (left := self._due - time.monotonic()) > 0:
                self._rescheduled.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._rescheduled.wait()

    def hurry(self) -> None:
        """There may be something new, newer than what is being fetched: fetch it now, or after that."""
        self._hurried, self._due = True, 0.0
        self._rescheduled.set()

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await self._fetcher.close()

    def _start(self, *, anew: bool) -> None:
        anew, self._hurried = anew or self._hurried, False
        self._running = asyncio.create_task(self._refresh(anew=anew))

    async def _refresh(self, *, anew: bool) -> None:
        began = time.monotonic()
        try:
            published = await self._fetcher.fetch(self._held, anew=anew)
            keys = self.keys
            if keys is None or self._held is None or published.document != self._held.document:
                keys = await asyncio.to_thread(self._source.read, published.document)
            self._succeeded(published, keys)
        except Exception as error:  # noqa: BLE001 - whatever it is, the keys that are good stay
            self._failed(error)
        finally:
            self.standing = replace(self.standing, took=time.monotonic() - began)
            self._running = None
            self._rescheduled.set()

    def _succeeded(self, published: Published, keys: KeySet) -> None:
        changed = keys != self.keys
        before, name = self.standing, self._source.name
        self._held, self.keys, self._failures = published, keys, 0
        self._count("changed" if changed else "unchanged")
        self.standing = replace(self.standing, confirmed_at=time.time(), failing_since=None, error=None)
        wanted = keys.refresh_hint if keys.refresh_hint is not None else published.max_age
        self._schedule(self._pace.after_success(wanted))
        if changed:
            self._provoked_at = -self._pace.between_provoked  # whoever provoked it was right
            self._told(name, keys)  # first: what is said to have changed decides already
            _log.info("keys-changed", source=name, url=published.url, keys=len(keys.ids))
        if before.failing_since is not None:
            _log.info("keys-back", source=name, seconds=round(time.time() - before.failing_since, 3))

    def _failed(self, error: Exception) -> None:
        refused = isinstance(error, ConfigurationError)
        self._count("refused" if refused else "failed")
        since = self.standing.failing_since
        known = isinstance(error, ExtauthzError)
        said = str(error) if known else type(error).__name__
        self.standing = replace(self.standing, failing_since=time.time() if since is None else since, error=said)
        self._schedule(self._pace.after_failure(self._failures))
        self._failures += 1
        _log.error(
            "keys-refused" if refused else "keys-out-of-reach",
            source=self._source.name,
            error=said,
            since=self.standing.failing_since,
            confirmed_at=self.standing.confirmed_at,
            exc_info=None if known else error,
        )

    def _count(self, result: Result) -> None:
        counts = self.standing.fetches
        self.standing = replace(self.standing, fetches={**counts, result: counts[result] + 1})

    def _schedule(self, delay: float) -> None:
        if self._hurried:
            return
        # Never the same for many servers.
        self._due = time.monotonic() + delay * random.uniform(0.8, 1.0)  # noqa: S311 - no secret


def _fetcher(
    place: KeyAddress | DiscoveredKeys | WorkloadApi, *, base: Path, timeout: float, news: Callable[[], None]
) -> Fetcher:
    if not isinstance(place, WorkloadApi):
        return KeyFetcher(place, base=base, timeout=timeout)
    try:
        # An extra: most servers have no agent.
        from extauthz.lookup.workload_api import BundleFetcher
    except ImportError:
        raise ConfigurationError(
            "identity.workload: `workload_api` needs the extra `extauthz[spiffe]`; install it"
        ) from None
    return BundleFetcher(place.trust_domain, socket=base / place.socket, timeout=timeout, news=news)
