"""What this server must have to know who pushes security event tokens to it: their keys and their secrets.

The rule: what can't be used ends a start; later it changes nothing, and what was good before stays.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from extauthz.app.secrets import read_place
from extauthz.app.watching import Fingerprint, Watched, changes
from extauthz.errors import ConfigurationError, failure_of
from extauthz.identity.key_config import KeyFile
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Lookup
from extauthz.identity.signals.config import SOURCE_PREFIX, SignalSettings
from extauthz.lookup.files import open_file
from extauthz.lookup.key_sets import PACE, KeySets, Pace, Standing

_log = structlog.get_logger(__name__)


class Transmitters:
    """Those of `settings`; paths are relative to `base`. Implements `check.reception.Keys`. Belongs to one event loop.

    Raises `ConfigurationError` for files and variables that can't be used.
    """

    def __init__(self, settings: SignalSettings, *, base: Path, environ: Mapping[str, str], pace: Pace = PACE) -> None:
        self._settings = settings
        self._base = base
        self._environ = environ
        self._published = KeySets(settings.keys, base=base, pace=pace)
        self._published.subscribe(self._take)
        self._keys: dict[str, KeySet] = {}
        self._secrets: dict[str, str] = {}
        self._watched = Watched(policies=(), files=self._files())
        self._read()

    def secret(self, transmitter: str) -> str:
        """The secret of the transmitter with this name."""
        return self._secrets[transmitter]

    def of(self, transmitter: str) -> KeySet | None:
        """The keys of the transmitter with this name, as they are known now."""
        return self._keys.get(transmitter)

    async def ask(self, lookup: Lookup) -> Answer:
        """Ask whoever publishes keys."""
        return await self._published.ask(lookup)

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How it stands with the keys that are fetched, by the name of their source."""
        return self._published.standings

    def fingerprint(self) -> Fingerprint:
        """What tells one state of the files from another."""
        return self._watched.fingerprint()

    def hurry(self) -> None:
        """Read and ask for everything now."""
        self._published.hurry()
        self._read_again()

    async def follow(self) -> None:
        """Keep what is fetched new, for ever."""
        await self._published.follow()

    async def watch(self, seen: Fingerprint) -> None:
        """Read the files whenever they change, since their fingerprint was `seen`; for ever."""
        async for _ in changes(self._watched, seen):
            await asyncio.to_thread(self._read_again)

    async def close(self) -> None:
        """End what runs, and close the connections."""
        await self._published.close()

    def _files(self) -> tuple[Path, ...]:
        places = (one.keys.place for one in self._settings.transmitters)
        keys = (place.path for place in places if isinstance(place, KeyFile))
        secrets = (one.secret.file for one in self._settings.transmitters if one.secret.file is not None)
        return tuple(self._base / path for path in (*keys, *secrets))

    def _take(self, source: str, keys: KeySet) -> None:
        self._keys[source.removeprefix(SOURCE_PREFIX)] = keys

    def _read_again(self) -> None:
        try:
            self._read()
        except ConfigurationError as error:
            _log.error("transmitters-refused", error=str(error))

    def _read(self) -> None:
        """All that is in files and variables, or nothing of it."""
        keys: dict[str, KeySet] = {}
        secrets: dict[str, str] = {}
        for number, one in enumerate(self._settings.transmitters):
            setting = f"signals.transmitters[{number}]"
            place = one.keys.place
            if isinstance(place, KeyFile):
                keys[one.name] = one.keys.read(_text(self._base / place.path), setting=f"{setting}.jwks")
            secrets[one.name] = read_place(
                one.secret, setting=f"{setting}.secret", base=self._base, environ=self._environ
            )
        self._keys.update(keys)
        self._secrets.update(secrets)


def _text(path: Path) -> str:
    try:
        with open_file(path) as stream:
            return stream.read().decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the keys: {failure_of(error)}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: the keys are not UTF-8 text") from None
