"""External facts of one request: who is asked, what is remembered, and what a failure comes to.

The rules: equal questions at one time are one question, unless nothing may be remembered. How many are on their way is
bounded, and nobody waits for a source that has failed too often, nor for longer than the caller does. A source that
fails is never an answer, unless the configuration calls it one.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec
import structlog

from extauthz import cel
from extauthz.errors import ConfigurationError
from extauthz.lookup.attributes.answers import Answers
from extauthz.lookup.attributes.breaker import Breaker
from extauthz.lookup.attributes.config import AttributeSettings
from extauthz.lookup.attributes.fetching import Fetcher, Unaskable, Unusable
from extauthz.lookup.peers import OutOfReach
from extauthz.policy.attribute_sources import Question
from extauthz.policy.attribute_values import Unfit, conform
from extauthz.policy.context import Inputs, RequestScope
from extauthz.values.counted import Counted
from extauthz.values.grants import NO_FACTS
from extauthz.values.histogram import WAITS, Histogram
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, RequestView

Attributes = Mapping[str, Any]
Result = Literal["answered", "absent", "remembered", "failed", "unusable", "turned-away", "unasked"]
"""What came of one request that wanted to know something: the source told it, told that nothing is known, or had told
it before; it was not there, or there without an answer that can be used; it had failed too often to be asked; there was
nothing that could be asked. A question that several requests share came of one of them.
"""
RESULTS: Final[tuple[Result, ...]] = get_args(Result)

_TOLD_EVERY: Final = 10.0  # seconds between two lines of the log that anybody's requests can bring about

_log = structlog.get_logger(__name__)


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What sources told, by their names; `denied` are those that failed and for which the request is then refused."""

    attributes: Mapping[str, Attributes]
    denied: frozenset[str] = frozenset()


class SourceStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a source: how often each thing came of a request, whether it is not asked now, and how long it
    took when it was."""

    results: Mapping[Result, int]
    given_up: bool
    took: Counted


class _Told(msgspec.Struct, frozen=True):
    """What a source tells of one request, `None` if nothing that counts; whether the request is refused for that."""

    attributes: Attributes | None = None
    denied: bool = False


class AttributeSources:
    """Asks the sources of `settings`; paths are relative to `base`, `clock` is monotonic, in seconds. Belongs to one
    event loop.

    Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(
        self, settings: Iterable[AttributeSettings], *, base: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = {one.name: _Source(one, base=base, clock=clock) for one in settings}

    @property
    def standings(self) -> Mapping[str, SourceStanding]:
        """How it stands with each source, by its name."""
        return {name: source.standing for name, source in self._sources.items()}

    def recalled(
        self, names: frozenset[str], *, request: RequestView, identity: Identity, now: float
    ) -> Mapping[str, Attributes] | None:
        """What all of these sources told before and that still counts, `None` if one must be asked. In any thread."""
        scope = _scope(request, identity, now)
        found = {}
        for name in names:
            source = self._sources.get(name)
            recalled = None if source is None else source.recall(scope)
            if recalled is None:
                return None
            found[name] = recalled
        return found

    async def fetch(
        self,
        names: frozenset[str],
        *,
        request: RequestView,
        identity: Identity,
        now: float,
        patience: float | None = None,
    ) -> Fetched:
        """What these sources tell of a request; all are asked at once, for `patience` seconds at the most.

        A source that told nothing that can be used is missing.
        """
        scope = _scope(request, identity, now)
        sources = [self._sources[name] for name in sorted(names & self._sources.keys())]
        told = await asyncio.gather(*(source.ask(scope, patience) for source in sources))
        return Fetched(
            attributes={
                source.name: one.attributes
                for source, one in zip(sources, told, strict=True)
                if one.attributes is not None
            },
            denied=frozenset(source.name for source, one in zip(sources, told, strict=True) if one.denied),
        )

    async def open(self) -> None:
        """Get ready, so that the first questions are as quick as others; asks nobody."""
        await asyncio.gather(*(source.open() for source in self._sources.values()))

    async def close(self) -> None:
        """End what runs, and close the connections."""
        for source in self._sources.values():
            await source.close()


class _Source:
    """One source, and what is remembered of it."""

    def __init__(self, settings: AttributeSettings, *, base: Path, clock: Callable[[], float]) -> None:
        cache, breaker = settings.cache, settings.breaker
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._declared = settings.declared
        self._fetcher = _fetcher(settings, base=base)
        self._answers = Answers(most=cache.entries, most_bytes=cache.bytes)
        self._turns = asyncio.Semaphore(settings.at_once)
        self._breaker = Breaker(failures=breaker.failures, pause=max(breaker.pause, settings.timeout))
        self._asking: dict[str, asyncio.Task[Attributes | None]] = {}
        self._running: set[asyncio.Task[Attributes | None]] = set()
        self._results: Counter[Result] = Counter()
        self._took = Histogram(WAITS)
        self._failure = ""
        self._told_until = 0.0

    @property
    def standing(self) -> SourceStanding:
        results = {result: self._results[result] for result in RESULTS}
        results["remembered"] = self._answers.found
        return SourceStanding(results=results, given_up=self._breaker.is_open, took=self._took.counted)

    def recall(self, scope: RequestScope) -> Attributes | None:
        """What it told of this request before, if that still counts."""
        try:
            question = self._declared.question(scope)
        except cel.EvalError:
            return None
        return self._answers.get(question.text, self._clock())

    async def ask(self, scope: RequestScope, patience: float | None) -> _Told:
        """What it tells of this request."""
        try:
            question = self._declared.question(scope)
            self._fetcher.check(question.asked)
        except (cel.EvalError, Unaskable):
            # Not a failure of the source, so nothing takes the place of an answer: conditions that read it err. Nor
            # does it say anything of the source: anybody may send what can't be asked.
            self._results["unasked"] += 1
            return _Told()
        known = self._answers.get(question.text, self._clock())
        if known is not None:
            return _Told(known)
        try:
            async with asyncio.timeout(patience):
                told = await self._share(question)
        except TimeoutError:
            told = None
        if told is not None:
            return _Told(told)
        match self._settings.on_failure:
            case "absent":
                return _Told(EMPTY)
            case "deny":
                return _Told(denied=True)
            case "error":
                return _Told()

    async def open(self) -> None:
        with suppress(ConfigurationError):  # a file that changed a moment ago; the first question tells of it
            await self._fetcher.open()

    async def close(self) -> None:
        running = tuple(self._running)
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._fetcher.close()

    async def _share(self, question: Question) -> Attributes | None:
        """The answer to a question that may be on its way already."""
        asking = self._asking.get(question.text)
        if asking is None:
            if not self._breaker.admits(self._clock()):
                self._results["turned-away"] += 1
                return None
            asking = asyncio.create_task(self._ask(question))
            self._running.add(asking)
            asking.add_done_callback(self._running.discard)
            # An answer to a question that was asked before this request is a remembered one.
            if self._settings.cache.ttl:
                self._asking[question.text] = asking
                asking.add_done_callback(lambda _: self._asking.pop(question.text))
        # Whoever goes away does not end the question of the others.
        return await asyncio.shield(asking)

    async def _ask(self, question: Question) -> Attributes | None:
        try:
            async with asyncio.timeout(self._settings.timeout), self._turns:
                asked_at = self._clock()
                try:
                    members = await self._fetcher.fetch(question.asked)
                finally:
                    self._took.add(self._clock() - asked_at)
            told = EMPTY if members is None else conform(members, self._declared.fields)
        except TimeoutError:
            self._failed(f"no answer within {self._settings.timeout:g} s")
            return None
        except (OutOfReach, ConfigurationError) as error:
            self._failed(str(error))
            return None
        except (Unusable, Unfit) as error:
            # It is there. Anybody can bring about a question that it chokes on, which must not silence it for others.
            self._unusable(str(error))
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            _log.exception("attributes-failed", source=self.name)
            self._failed(type(error).__name__)
            return None
        self._answered("absent" if members is None else "answered")
        ttl = self._settings.cache.absent if members is None else self._settings.cache.ttl
        if ttl and self._settings.cache.ttl:
            self._answers.put(question.text, told, until=asked_at + ttl)
        return told

    def _answered(self, result: Result) -> None:
        self._results[result] += 1
        self._breaker.answered()
        if self._failure:
            _log.info("attributes-back", source=self.name)
            self._failure = ""

    def _failed(self, detail: str) -> None:
        self._results["failed"] += 1
        self._breaker.failed(self._clock())
        if detail != self._failure:  # once, not for every request
            _log.error("attributes-out-of-reach", source=self.name, error=detail)
            self._failure = detail

    def _unusable(self, detail: str) -> None:
        self._results["unusable"] += 1
        self._breaker.answered()
        now = self._clock()
        if now >= self._told_until:
            _log.error("attributes-answer-unusable", source=self.name, error=detail)
            self._told_until = now + _TOLD_EVERY


def _scope(request: RequestView, identity: Identity, now: float) -> RequestScope:
    return RequestScope(Inputs(request, identity, NO_FACTS, now))


def _fetcher(settings: AttributeSettings, *, base: Path) -> Fetcher:
    # Imported for who is asked something: clients of HTTP and of gRPC take a while to load.
    if settings.grpc is not None:
        from extauthz.lookup.attributes.over_grpc import GrpcSource

        return GrpcSource(settings, settings.grpc, base=base)
    from extauthz.lookup.attributes.over_http import AuthZenSource, HttpSource

    if settings.authzen is not None:
        return AuthZenSource(settings, settings.authzen, base=base)
    assert settings.http is not None  # noqa: S101 - one of the three is there
    return HttpSource(settings, settings.http, base=base)
