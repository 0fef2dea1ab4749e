"""The bundles that the settings name: which version is the newest good one, and what is in force.

The rule kept here: a bundle becomes a candidate only after its signature, its name and its version were found good,
and is remembered as accepted only after the whole set that it belongs to was compiled.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from extauthz.app.bundle_cache import BundleCache, Signed
from extauthz.errors import ConfigurationError, ExtauthzError, failure_of
from extauthz.files import open_file, read_bytes
from extauthz.lookup.peers import OutOfReach
from extauthz.policy.bundle import (
    MAX_ARCHIVE,
    SIGNATURE_SUFFIX,
    Bundle,
    BundleRefused,
    open_bundle,
    public_key,
    refuse_older,
)
from extauthz.policy.bundle_config import BundleSettings
from extauthz.settings import Settings

if TYPE_CHECKING:
    from extauthz.app.fetching import Fetcher

LONGEST_BACKOFF = 600.0
"""Seconds between two looks at a URL that fails, at most; more only if `poll` is more."""

_log = structlog.get_logger(__name__)


class Candidate(msgspec.Struct, frozen=True):
    """A bundle that may be used, and what it came from."""

    bundle: Bundle
    signed: Signed


Told = Callable[[str, str], None]
"""What is told the outcome of a fetch: the bundle's name, and `changed`, `unchanged`, `failed` or `refused`."""


class Source:
    """One configured bundle."""

    def __init__(self, settings: BundleSettings, *, base: Path, folder: Path) -> None:
        """Read the public key.

        Raises:
            ConfigurationError: it can't be read or is none.
        """
        self.name = settings.name
        self.url = settings.url
        self.path = None if settings.path is None else base / settings.path
        self.poll = settings.poll
        self._key = _public_key(base / settings.key)
        self._cache = BundleCache(folder, settings.name)
        self._candidate: Candidate | None = None
        self._etag: str | None = None

    @property
    def candidate(self) -> Candidate | None:
        """The newest good one that was seen."""
        return self._candidate

    def cached(self) -> Candidate | None:
        """The one accepted last, verified again; `None` if there is none.

        Raises:
            ConfigurationError, BundleRefused: the cache can't be read, or is not what was accepted.
        """
        signed = self._cache.signed()
        return None if signed is None else Candidate(self._opened(signed), signed)

    def use(self, candidate: Candidate) -> None:
        """Take a candidate that is known to be good."""
        self._candidate = candidate

    def read(self) -> None:
        """Take what the file holds now.

        Raises:
            BundleRefused: it is not to be used; the candidate stays.
            ConfigurationError: it can't be read.
        """
        assert self.path is not None  # noqa: S101 - asked of bundles from files only
        archive = _read(self.path, MAX_ARCHIVE)
        signature = _read(self.path.with_name(self.path.name + SIGNATURE_SUFFIX), MAX_ARCHIVE)
        try:
            self._take(Signed(archive, signature))
        except BundleRefused as error:
            raise BundleRefused(f"{self.path}: {error}") from error

    async def fetch(self, fetcher: "Fetcher") -> bool:
        """Take what the URL gives now; whether that is another bundle than before.

        Raises:
            OutOfReach: there is no answer.
            BundleRefused: it is not to be used; the candidate stays.
        """
        assert self.url is not None  # noqa: S101 - asked of bundles from URLs only
        fetched = await fetcher.fetch(self.url, etag=self._etag)
        if fetched is None:
            return False
        try:
            changed = await asyncio.to_thread(self._take, fetched.signed)
        except BundleRefused as error:
            raise BundleRefused(f"{self.url}: {error}") from error
        self._etag = fetched.etag  # what was refused is looked at again: its signature may just not be there yet
        return changed

    def accept(self, candidate: Candidate) -> None:
        """Remember a candidate as accepted, so that nothing older is from now on, restarts included.

        Raises:
            ConfigurationError: it can't be written.
        """
        accepted = self._cache.accepted()
        if accepted is None or accepted.sha256 != candidate.bundle.sha256:
            self._cache.keep(candidate.bundle, candidate.signed)

    def _take(self, signed: Signed) -> bool:
        bundle = self._opened(signed)
        if self._candidate is not None and self._candidate.bundle.sha256 == bundle.sha256:
            return False
        self._candidate = Candidate(bundle, signed)
        return True

    def _opened(self, signed: Signed) -> Bundle:
        bundle = open_bundle(signed.archive, signed.signature, key=self._key, name=self.name)
        accepted = self._cache.accepted()
        if accepted is not None:
            refuse_older(bundle, version=accepted.version, sha256=accepted.sha256)
        return bundle


class Bundles:
    """All configured bundles."""

    def __init__(self, settings: Settings, told: Told) -> None:
        """Read the keys.

        Raises:
            ConfigurationError: one of them can't be used.
        """
        folder = settings.base / settings.bundle_cache
        self._sources = [Source(one, base=settings.base, folder=folder) for one in settings.bundles]
        self._told = told

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that bundles are read from: archives and signatures."""
        paths = [source.path for source in self._sources if source.path is not None]
        return tuple(path.with_name(path.name + suffix) for path in paths for suffix in ("", SIGNATURE_SUFFIX))

    async def start(self) -> None:
        """Find a candidate for each: the newest, or the one that was accepted last if that is not to be had.

        Raises:
            ExtauthzError: one of them has neither.
        """
        if not self._sources:
            return  # a client takes as long as all else of a small server's start
        async with _fetcher() as fetcher:
            await asyncio.gather(*(self._find(source, fetcher) for source in self._sources))

    def candidates(self) -> Mapping[str, Candidate]:
        """What the next set is to be made of, by name; files are read anew.

        Raises:
            ExtauthzError: a file can't be used.
        """
        for source in self._sources:
            if source.path is not None:
                source.read()
        return {source.name: source.candidate for source in self._sources if source.candidate is not None}

    def newest(self) -> Mapping[str, Candidate]:
        """What `start` found, by name."""
        return {source.name: source.candidate for source in self._sources if source.candidate is not None}

    def fall_back(self) -> Mapping[str, Candidate] | None:
        """What was accepted last; `None` if that is what there is anyway, or one was never accepted."""
        cached = {source.name: source.cached() for source in self._sources}
        known = {name: candidate for name, candidate in cached.items() if candidate is not None}
        if len(known) < len(cached) or _versions(known) == _versions(self.newest()):
            return None
        return known

    def accept(self, candidates: Mapping[str, Candidate]) -> None:
        """Remember these as accepted.

        Raises:
            ConfigurationError: the cache can't be written.
        """
        for source in self._sources:
            if source.name in candidates:
                source.accept(candidates[source.name])

    async def follow(self, changed: Callable[[], None]) -> None:
        """Look at the URLs for ever, and tell when one gives another bundle. Without URLs there is nothing to do."""
        if not any(source.url for source in self._sources):
            return
        async with _fetcher() as fetcher:
            await asyncio.gather(*(self._poll(source, fetcher, changed) for source in self._sources if source.url))

    async def _find(self, source: Source, fetcher: "Fetcher") -> None:
        try:
            if source.path is not None:
                await asyncio.to_thread(source.read)
            else:
                await source.fetch(fetcher)
                self._told(source.name, "changed")
        except (OutOfReach, BundleRefused, ConfigurationError) as error:
            self._failed(source, error)
            cached = await asyncio.to_thread(source.cached)
            if cached is None:
                raise
            source.use(cached)
            _log.warning("bundle-from-cache", bundle=source.name, version=cached.bundle.version)

    async def _poll(self, source: Source, fetcher: "Fetcher", changed: Callable[[], None]) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_delay(source.poll, failures))
            try:
                is_new = await source.fetch(fetcher)
            except Exception as error:  # noqa: BLE001 - whatever it is, what is in force stays, and it is tried again
                failures += 1
                self._failed(source, error)
                continue
            failures = 0
            self._told(source.name, "changed" if is_new else "unchanged")
            if is_new:
                changed()

    def _failed(self, source: Source, error: Exception) -> None:
        refused = isinstance(error, BundleRefused)
        self._told(source.name, "refused" if refused else "failed")
        unknown = None if isinstance(error, ExtauthzError) else error
        event = "bundle-refused" if refused else "bundle-out-of-reach"
        _log.error(event, bundle=source.name, error=str(error), exc_info=unknown)


def _versions(candidates: Mapping[str, Candidate]) -> Mapping[str, str]:
    return {name: candidate.bundle.sha256 for name, candidate in candidates.items()}


def places(candidates: Mapping[str, Candidate]) -> Sequence[tuple[str, bytes]]:
    """The policy files of bundles, by the names that problems call them."""
    return [place for candidate in candidates.values() for place in candidate.bundle.places]


def _delay(poll: float, failures: int) -> float:
    """Seconds until the next look: longer with each failure, and never the same for many servers."""
    longest = max(poll, LONGEST_BACKOFF)
    return min(poll * 2.0 ** min(failures, 20), longest) * random.uniform(0.8, 1.0)  # noqa: S311 - no secret


def _fetcher() -> "Fetcher":
    from extauthz.app.fetching import Fetcher  # with its client of HTTP, which a server without bundles does not need

    return Fetcher()


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        return public_key(read_bytes(path, "key of a bundle"))
    except BundleRefused as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _read(path: Path, limit: int) -> bytes:
    try:
        with open_file(path) as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the bundle: {failure_of(error)}") from error
