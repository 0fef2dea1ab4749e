"""What files tell of addresses while the server runs: databases of places, and lists of networks.

The rule, as for keys: a file that can't be used changes nothing. What was read before stays, and the log says why. So
each list is followed on its own, and none of them waits for policies that are reloaded, or keeps them waiting.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog

from extauthz.app.pace import Pace
from extauthz.app.watching import Fingerprint, Watched, changes
from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import FileStanding, open_file
from extauthz.lookup.local_config import Kind
from extauthz.risk.addresses import AddressSet, parse_list
from extauthz.settings import Settings
from extauthz.values.facts import Local

if TYPE_CHECKING:
    from extauthz.lookup.geo import GeoDatabases

MOST_BYTES: Final = 8 * 1024 * 1024
"""Of a list of addresses."""

Value = TypeVar("Value")

_log = structlog.get_logger(__name__)


class Followed(Generic[Value]):
    """What some files say. Belongs to one event loop; `value` may be read by any thread."""

    def __init__(self, name: str, paths: tuple[Path, ...], read: Callable[[], Value]) -> None:
        """Read them. Raises `ConfigurationError` if that fails; `name` is what the log calls them."""
        self.name = name
        self._watched = Watched(policies=(), files=paths)
        self._read = read
        self._wanted = asyncio.Event()
        self._seen: Fingerprint = self._watched.fingerprint()  # before they are read, so that no change is missed
        self.value = read()
        self._standing = FileStanding(read_at=time.time(), current=True)

    @property
    def standing(self) -> FileStanding:
        """When they were read, and whether the newest could be."""
        return self._standing

    def hurry(self) -> None:
        """Read them now."""
        self._wanted.set()

    async def follow(self) -> None:
        """Read them whenever that is asked for; for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                self.value = await asyncio.to_thread(self._read)
            except ConfigurationError as error:
                self._standing = replace(self._standing, current=False)
                _log.error("local-facts-refused", name=self.name, error=str(error))
            else:
                self._standing = FileStanding(read_at=time.time(), current=True)
                _log.info("local-facts-read", name=self.name)

    async def watch(self) -> None:
        """Read them whenever they change, since they were read first; for ever."""
        async for _ in changes(self._watched, self._seen):
            self.hurry()


class LocalFacts:
    """The followed files of a configuration; `local` is what conditions see of them, always as they were read last."""

    def __init__(self, settings: Settings) -> None:
        """Read them. Raises `ConfigurationError` for one that can't be used."""
        databases, lists = settings.geo_paths, settings.address_paths
        geo = _geo(databases) if databases else None
        sets = {
            name: Followed(f"addresses.{name}", (path,), partial(_read, name, path)) for name, path in lists.items()
        }
        self._followed: tuple[Followed[Any], ...] = (*([] if geo is None else [geo]), *sets.values())
        self.local: Final = Local(
            geo=None if geo is None else lambda address: geo.value.find(address),
            addresses={name: partial(_holds, one) for name, one in sets.items()},
        )

    @property
    def standings(self) -> Mapping[str, FileStanding]:
        """How it stands with the databases together, and with each list, by name."""
        return {one.name: one.standing for one in self._followed}

    def hurry(self) -> None:
        """Read all files now."""
        for one in self._followed:
            one.hurry()

    async def follow(self, *, watch: bool) -> None:
        """Read files again when that is asked for, and with `watch` when they change; for ever."""
        following = [one.follow() for one in self._followed]
        watching = [one.watch() for one in self._followed] if watch else []
        await asyncio.gather(*following, *watching)


def _geo(databases: Mapping[Kind, Path]) -> "Followed[GeoDatabases]":
    # Imported here: most servers have none.
    from extauthz.lookup.geo import open_databases

    return Followed("geo", tuple(databases.values()), lambda: open_databases(databases))


def _holds(followed: Followed[AddressSet], address: str) -> bool:
    return followed.value.holds(address)


def _read(name: str, path: Path) -> AddressSet:
    """The list in a file. Raises `ConfigurationError` with the line that is wrong."""
    place = f"addresses.{name}: {path}"
    try:
        with open_file(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{place}: can't read the list: {failure_of(error)}") from error
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"{place}: longer than {MOST_BYTES} bytes; split it")
    try:
        return parse_list(content.decode("utf-8-sig"), breathe=Pace().breathe)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{place}: not UTF-8 text") from error
    except ValueError as error:
        raise ConfigurationError(f"{place}:{error}") from error
