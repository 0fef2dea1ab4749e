"""New policies and key sets while decisions go on.

The rules kept here: one reload at a time, each of what the files say when it begins, so that nothing older replaces
anything newer; what decides is swapped whole; and a set with anything wrong changes nothing but what we say of
ourselves.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from extauthz.app.bundles import Bundles, Candidate, places
from extauthz.app.compiling import Compiler, Sources
from extauthz.app.pace import Building, Pace, release
from extauthz.app.wiring import make_reading, make_resolver, require_audit
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling
from extauthz.errors import ExtauthzError
from extauthz.lookup.key_sets import KeySets
from extauthz.policy.problems import PolicyErrors
from extauthz.record.chronicle import Chronicle
from extauthz.settings import Settings
from extauthz.values.quoting import detail_of
from extauthz.web.metrics import Metrics
from extauthz.web.probes import Readiness

LAST_CALLS = 12.0
"""Seconds after a swap at which no call that began before it is left."""

_log = structlog.get_logger(__name__)


class Status:
    """What is said of the policies in force: by the probes, the metrics, the log and records, and to whoever gives
    orders."""

    def __init__(
        self, readiness: Readiness, metrics: Metrics, chronicle: Chronicle, tell: Callable[[str], None]
    ) -> None:
        """`tell` is called with each revision that comes in force."""
        self._readiness = readiness
        self._metrics = metrics
        self._chronicle = chronicle
        self._tell = tell

    def in_force(self, ruling: Ruling, versions: Mapping[str, int]) -> None:
        """These decide from now on."""
        policies = ruling.policies
        self._readiness.ready(policies.revision)
        self._metrics.in_force(revision=policies.revision, rules=len(policies.rules), bundles=versions, now=time.time())
        self._tell(policies.revision)
        self._chronicle.tell(
            "policy.in-force",
            revision=policies.revision,
            details={
                "rules": len(policies.rules),
                "bundles": tuple(f"{name}:{version}" for name, version in sorted(versions.items())),
            },
        )

    def accepted(self, ruling: Ruling, versions: Mapping[str, int], *, seconds: float) -> None:
        """A reload ended well."""
        self._metrics.reload_accepted(seconds)
        self.in_force(ruling, versions)
        _log.info(
            "reloaded",
            revision=ruling.policies.revision,
            rules=len(ruling.policies.rules),
            bundles=dict(versions),
            seconds=round(seconds, 3),
        )

    def refused(self, error: Exception) -> None:
        """A reload changed nothing."""
        self._metrics.reload_refused()
        self._readiness.reload_failed(str(error))
        # Of several mistakes the first, and of its picture nothing: an operator sees the rest in the log.
        self._chronicle.tell("policy.refused", reason=detail_of(error).partition("\n")[0])
        _log.error("reload-refused", error=str(error), exc_info=None if isinstance(error, ExtauthzError) else error)


class Reloader:
    """Reloads on request."""

    def __init__(self, settings: Settings, checker: Checker, bundles: Bundles, keys: KeySets, status: Status) -> None:
        self._settings = settings
        self._checker = checker
        self._bundles = bundles
        self._keys = keys
        self._status = status
        self._compiler = Compiler()
        self._wanted = False
        self._stopped = False
        self._working: asyncio.Task[None] | None = None
        self._releasing: set[asyncio.Task[None]] = set()

    def request(self) -> None:
        """Reload, after the one that runs if one does; requests meanwhile are one. Belongs to the event loop."""
        self._wanted = True
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End what runs; nothing is swapped after it."""
        self._wanted, self._stopped = False, True
        self._compiler.stop()
        for task in self._releasing:
            task.cancel()
        if self._working is not None:
            await self._working

    async def _work(self) -> None:
        while self._wanted:
            self._wanted = False
            await self._reload()

    async def _reload(self) -> None:
        began = time.monotonic()
        try:
            ruling, candidates = await asyncio.to_thread(self._make)
        except Exception as error:  # noqa: BLE001 - whatever it is, what decides stays
            if not self._stopped:
                self._status.refused(error)
            return
        before: list[object] = [self._checker.ruling.policies]
        facts = self._checker.ruling.facts  # what is known here follows files of its own
        # It was made of files, in a thread, and keys were fetched meanwhile: between these two lines nothing can be.
        self._checker.swap(replace(ruling, resolver=self._keys.newest(ruling.resolver), facts=facts))
        task = asyncio.create_task(_release_later(before))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)
        self._status.accepted(ruling, versions_of(candidates), seconds=time.monotonic() - began)

    def _make(self) -> tuple[Ruling, Mapping[str, Candidate]]:
        candidates = self._bundles.candidates()
        sources = sources_of(self._settings, candidates)
        resolver, reading = make_resolver(self._settings), make_reading(self._settings)
        policies = self._compiler.compile(sources)
        require_audit(policies, self._settings)
        self._bundles.accept(candidates)
        return Ruling(policies=policies, resolver=resolver, reading=reading), candidates


async def first_ruling(settings: Settings, bundles: Bundles) -> tuple[Ruling, Mapping[str, int]]:
    """What decides from the start, and the versions of the bundles in it.

    If the newest bundles don't compile, those accepted last do.

    Raises:
        ExtauthzError: there is no good set.
    """
    await bundles.start()
    candidates = bundles.newest()
    try:
        ruling = _first(settings, candidates)
    except PolicyErrors as error:
        before = bundles.fall_back()
        if before is None:
            raise
        _log.error("newest-bundles-refused", error=str(error), instead=versions_of(before))
        candidates, ruling = before, _first(settings, before)
    bundles.accept(candidates)
    return ruling, versions_of(candidates)


def _first(settings: Settings, candidates: Mapping[str, Candidate]) -> Ruling:
    # Nobody waits for decisions yet: it is compiled here.
    with Building():
        policies = sources_of(settings, candidates).load()
    require_audit(policies, settings)
    return Ruling(policies=policies, resolver=make_resolver(settings), reading=make_reading(settings))


def sources_of(settings: Settings, candidates: Mapping[str, Candidate]) -> Sources:
    """What the policies of these settings are compiled from."""
    return Sources(paths=settings.policy_paths, unpacked=tuple(places(candidates)), declared=settings.declared)


def versions_of(candidates: Mapping[str, Candidate]) -> Mapping[str, int]:
    """The versions of bundles by name."""
    return {name: candidate.bundle.version for name, candidate in candidates.items()}


async def _release_later(before: list[object]) -> None:
    await asyncio.sleep(LAST_CALLS)
    await asyncio.to_thread(release, before, Pace())
