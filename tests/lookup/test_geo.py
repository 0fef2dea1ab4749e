"""What databases of addresses give, with MaxMind's own test databases; and what a bad file is."""

import os
from collections.abc import Callable
from pathlib import Path

import geoip
import pytest

from extauthz.errors import ConfigurationError
from extauthz.lookup.geo import MOST_KEPT, GeoDatabases, open_databases
from extauthz.lookup.local_config import GeoSettings, Kind

METADATA = b"\xab\xcd\xefMaxMind.com"


def opened() -> GeoDatabases:
    return open_databases({"city": geoip.city(), "asn": geoip.asn(), "anonymous": geoip.anonymous()})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            geoip.LONDON,
            {
                "country": "GB",
                "continent": "EU",
                "city": "London",
                "latitude": 51.5142,
                "longitude": -0.0931,
                "accuracy_km": 100.0,
                "anonymous": True,
            },
        ),
        (
            geoip.ITALY,
            {
                "country": "IT",
                "continent": "EU",
                "latitude": 42.83333,
                "longitude": 12.83333,
                "accuracy_km": 100.0,
                "anonymous": False,
            },
        ),
        (geoip.NETWORK, {"asn": 1221, "anonymous": False}),
        (geoip.UNKNOWN, {"anonymous": False}),
        ("", {}),
    ],
)
def test_a_database_tells_what_it_knows_and_nothing_else(address: str, expected: dict[str, object]) -> None:
    assert opened().find(address) == expected


def test_only_what_is_configured_is_told() -> None:
    assert open_databases({"asn": geoip.asn()}).find(geoip.LONDON) == {}
    assert open_databases({}).find(geoip.LONDON) == {}


def test_the_fields_that_databases_give_are_known_before_they_are_read() -> None:
    paths: dict[Kind, Path] = {"city": geoip.city(), "asn": geoip.asn(), "anonymous": geoip.anonymous()}
    databases = open_databases(paths)
    seen: set[str] = set()
    for address in (geoip.LONDON, geoip.ITALY, geoip.NETWORK, geoip.BOXFORD):
        found = databases.find(address)
        assert found is not None
        seen |= set(found)
    assert GeoSettings(**paths).fields == seen
    assert GeoSettings(asn=geoip.asn()).fields == {"asn"}
    assert GeoSettings().fields == frozenset()


def test_an_answer_is_kept_and_not_for_all_addresses() -> None:
    databases = opened()
    assert databases.find(geoip.LONDON) is databases.find(geoip.LONDON)
    first = databases.find(geoip.LONDON)
    for number in range(MOST_KEPT):
        databases.find(f"10.0.{number >> 8}.{number & 255}")
    assert databases.find(geoip.LONDON) is not first
    assert databases.find(geoip.LONDON) == first


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0" * 10_000),
        lambda path: os.truncate(path, 100),
        Path.unlink,
    ],
    ids=["emptied", "overwritten", "cut off", "removed"],
)
def test_what_happens_to_its_file_changes_no_answer(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(geoip.city().read_bytes())
    databases = open_databases({"city": path})
    spoil(path)
    found = databases.find(geoip.LONDON)
    assert found is not None
    assert found["city"] == "London"


@pytest.mark.parametrize(
    "content",
    [
        lambda _: b"",
        lambda _: b"no database",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-20],
        lambda _: METADATA,
        lambda _: METADATA + b"\xe1\x41",
        lambda whole: whole[whole.rindex(METADATA) :],
    ],
    ids=["empty", "text", "half", "nearly whole", "a mark", "a mark and rubbish", "an end alone"],
)
def test_a_file_that_is_no_whole_database_is_an_error(tmp_path: Path, content: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(content(geoip.city().read_bytes()))
    with pytest.raises(ConfigurationError) as caught:
        open_databases({"city": path})
    assert str(caught.value) == f"geo.city: {path}: not a database in MaxMind's format, or a broken one"


def test_a_database_of_something_else_is_an_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_databases({"city": geoip.asn()})
    assert str(caught.value) == (
        f"geo.city: {geoip.asn()}: a database of type `GeoLite2-ASN`; "
        "`city` wants one with `city` or `country` or `enterprise` or `insights` in its name"
    )


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"geo\.asn: .*/none: can't read the database: no such file or directory$"
    ):
        open_databases({"asn": tmp_path / "none"})


def test_a_database_is_read_from_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="can't read the database"):
        open_databases({"asn": tmp_path / "pipe"})


def test_a_record_that_can_not_be_read_is_no_absence(tmp_path: Path) -> None:
    """Nobody knows what the database would have said."""
    whole = bytearray(geoip.city().read_bytes())
    tree = whole.index(b"\0" * 16)  # between the tree and the records
    end = whole.rindex(METADATA)
    whole[tree + 16 : end] = b"\xff" * (end - tree - 16)
    path = tmp_path / "city.mmdb"
    path.write_bytes(whole)
    databases = open_databases({"city": path})
    assert databases.find(geoip.LONDON) is None
    assert databases.find(geoip.UNKNOWN) == {}
