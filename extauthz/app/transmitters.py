"""What this server must have to know who pushes security event tokens to it: their keys and their secrets.

The rule: what can't be used changes nothing, and what was good before stays.
"""

from collections.abc import Mapping
from pathlib import Path

from extauthz.app.secrets import read_place
from extauthz.files import read_text
from extauthz.identity.key_config import KeyFile
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Lookup
from extauthz.identity.signals.config import SOURCE_PREFIX, SignalSettings
from extauthz.lookup.key_sets import PACE, KeySets, Pace


class Transmitters:
    """Those of `settings`; paths are relative to `base`. Implements `check.reception.Keys`. Belongs to one event loop.

    Nothing is read before `read`. Raises `ConfigurationError` for a file of authorities that can't be used.
    """

    def __init__(self, settings: SignalSettings, *, base: Path, environ: Mapping[str, str], pace: Pace = PACE) -> None:
        self._settings = settings
        self._base = base
        self._environ = environ
        self.keys = KeySets(settings.keys, base=base, pace=pace)
        """Those that are fetched."""
        self.keys.subscribe(self._take)
        self._known: dict[str, KeySet] = {}
        self._secrets: dict[str, str] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read."""
        places = (one.keys.place for one in self._settings.transmitters)
        keys = (place.path for place in places if isinstance(place, KeyFile))
        secrets = (one.secret.file for one in self._settings.transmitters if one.secret.file is not None)
        return tuple(self._base / path for path in (*keys, *secrets))

    def secret(self, transmitter: str) -> str:
        """The secret of the transmitter with this name."""
        return self._secrets[transmitter]

    def of(self, transmitter: str) -> KeySet | None:
        """The keys of the transmitter with this name, as they are known now."""
        return self._known.get(transmitter)

    async def ask(self, lookup: Lookup) -> Answer:
        """Ask whoever publishes keys."""
        return await self.keys.ask(lookup)

    def read(self) -> None:
        """Read all that is in files and variables.

        Raises:
            ConfigurationError: some of it can't be used, and nothing of it is.
        """
        keys: dict[str, KeySet] = {}
        secrets: dict[str, str] = {}
        for number, one in enumerate(self._settings.transmitters):
            setting = f"signals.transmitters[{number}]"
            place = one.keys.place
            if isinstance(place, KeyFile):
                keys[one.name] = one.keys.read(read_text(self._base / place.path, "keys"), setting=f"{setting}.jwks")
            secrets[one.name] = read_place(
                one.secret, setting=f"{setting}.secret", base=self._base, environ=self._environ
            )
        self._known |= keys
        self._secrets = secrets

    def _take(self, source: str, keys: KeySet) -> None:
        self._known[source.removeprefix(SOURCE_PREFIX)] = keys
