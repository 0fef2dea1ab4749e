"""What databases say of addresses: where one is, whose network it is in, whether it hides who calls.

The files are those of MaxMind's format, as its own products and others have it. The rules kept here: a database is
read whole into memory of our own before it is used, so that what happens to its file afterwards changes no decision;
and an answer that can't be read is no answer, which is not the same as an address that nobody knows.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from io import BufferedReader
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

import maxminddb
import structlog
from maxminddb.types import Record

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file
from extauthz.lookup.local_config import KINDS, Kind
from extauthz.values.request import EMPTY

MOST_KEPT: Final = 16_384
"""Addresses of which the answer is kept; the ones that nobody asked for the longest go first."""

# The words of its own name by which one tells what a database is of; the ones of other makers have them too.
_WORDS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "city": ("city", "country", "enterprise", "insights"),
    "asn": ("asn", "isp", "enterprise"),
    "anonymous": ("anonymous",),
}
_CHUNK: Final = 1024 * 1024

Fields = Mapping[str, Any]
"""The fields of `geo` that are known of an address."""

_log = structlog.get_logger(__name__)


class GeoDatabases:
    """The databases of one moment, by kind. Safe to be asked by several threads.

    It is free of circles: what is replaced goes when nobody uses it any more, and it is big.
    """

    __slots__ = ("_readers", "find")

    def __init__(self, readers: Mapping[Kind, maxminddb.Reader]) -> None:
        self._readers = tuple(_Reader(kind, one, one.metadata().ip_version == 6) for kind, one in readers.items())
        self.find: Callable[[str], Fields | None] = lru_cache(maxsize=MOST_KEPT)(partial(_find, self._readers))
        """The fields of `geo` for an address in canonical text: those that are known of it, none for an empty text.
        `None` where a database is broken at that address: nobody knows what it would have said."""

    @property
    def builds(self) -> Mapping[Kind, int]:
        """When each database was made, in seconds since the epoch."""
        return {one.kind: int(one.reader.metadata().build_epoch) for one in self._readers}


class _Reader(NamedTuple):
    kind: Kind
    reader: maxminddb.Reader
    knows_ipv6: bool


def _find(readers: tuple[_Reader, ...], address: str) -> Fields | None:
    if not address:
        return EMPTY
    found: dict[str, Any] = {}
    for kind, reader, knows_ipv6 in readers:
        if ":" in address and not knows_ipv6:
            continue
        try:
            found |= _READ[kind](reader.get(address))
        except (maxminddb.InvalidDatabaseError, ValueError, TypeError, KeyError) as error:
            # The address is left out: a log is not the place for who calls.
            _log.error("geo-database-broken", database=kind, error=str(error) or type(error).__name__)
            return None
    return found


def open_databases(paths: Mapping[Kind, Path]) -> GeoDatabases:
    """The databases in these files, as they are now.

    Raises:
        ConfigurationError: one of them can't be read, or is another database than it is configured as.
    """
    return GeoDatabases({kind: _open(kind, paths[kind]) for kind in KINDS if kind in paths})


def _open(kind: Kind, path: Path) -> maxminddb.Reader:
    place = f"geo.{kind}: {path}"
    try:
        with open_file(path) as stream:
            reader = _reader(stream)
    except OSError as error:
        raise ConfigurationError(f"{place}: can't read the database: {failure_of(error)}") from error
    except (maxminddb.InvalidDatabaseError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{place}: not a database in MaxMind's format, or a broken one") from error
    name = str(reader.metadata().database_type)
    if not any(word in name.lower() for word in _WORDS[kind]):
        raise ConfigurationError(
            f"{place}: a database of type `{name}`; `{kind}` wants one with {_or(_WORDS[kind])} in its name"
        )
    return reader


def _reader(stream: BufferedReader) -> maxminddb.Reader:
    """A reader of a copy in memory. It would map the file itself, and a file that is cut off under a map ends us."""
    if not hasattr(os, "memfd_create"):
        return maxminddb.open_database(stream, maxminddb.MODE_FD)
    with os.fdopen(os.memfd_create("geo", os.MFD_CLOEXEC), "w+b") as copy:
        shutil.copyfileobj(stream, copy, _CHUNK)
        copy.flush()
        return maxminddb.open_database(f"/proc/self/fd/{copy.fileno()}", maxminddb.MODE_AUTO)


def _place(record: Record | None) -> Fields:
    """Of a database of cities or countries. Coordinates come together or not at all."""
    of = _mapping(record)
    location, country = _mapping(of.get("location")), _mapping(of.get("country"))
    latitude, longitude = location.get("latitude"), location.get("longitude")
    found: dict[str, Any] = {
        "country": country.get("iso_code"),
        "continent": _mapping(of.get("continent")).get("code"),
        "city": _mapping(_mapping(of.get("city")).get("names")).get("en"),
    }
    if _is_degrees(latitude, 90.0) and _is_degrees(longitude, 180.0):
        found |= {"latitude": float(latitude), "longitude": float(longitude)}
        radius = location.get("accuracy_radius")
        if isinstance(radius, int | float) and 0 <= radius < inf:
            found["accuracy_km"] = float(radius)
    return {name: value for name, value in found.items() if isinstance(value, float) or _is_text(value)}


def _network(record: Record | None) -> Fields:
    """Of a database of autonomous systems (RFC 1930)."""
    number = _mapping(record).get("autonomous_system_number")
    return {"asn": number} if isinstance(number, int) else EMPTY


def _anonymity(record: Record | None) -> Fields:
    """Of a database of addresses that hide who calls: it lists no others, so that whoever is not in it does not."""
    return {"anonymous": any(value is True for name, value in _mapping(record).items() if name.startswith("is_"))}


_READ: Final[Mapping[Kind, Callable[[Record | None], Fields]]] = {
    "city": _place,
    "asn": _network,
    "anonymous": _anonymity,
}


def _mapping(value: object) -> Mapping[str, Any]:
    """A part of a record; empty where there is none. Raises `TypeError` for what is something else."""
    if value is None:
        return EMPTY
    if not isinstance(value, dict):
        raise TypeError("a record is not as the format has it")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_degrees(value: object, most: float) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) <= most


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(f"`{word}`" for word in words)
