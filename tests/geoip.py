"""Where MaxMind's published test databases are; tests that need them skip where they are not."""

import os
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(os.environ.get("GEOIP_TEST_DIR", Path(__file__).parents[2] / "shared" / "geoip"))
LONDON: Final = "81.2.69.160"
"""In the databases of cities and of anonymous addresses."""
BOXFORD: Final = "2.125.160.217"
ITALY: Final = "2a02:d1c0::1"
"""A country without a city."""
NETWORK: Final = "1.128.0.1"
"""In that of autonomous systems: of AS 1221."""
UNKNOWN: Final = "10.0.0.1"


def database(name: str) -> Path:
    """The file of a database; a skip, or a failure where `REQUIRE_ALL` is set, if it is not there."""
    path = FOLDER / name
    if path.exists():
        return path
    message = f"no database of addresses in {FOLDER}; set GEOIP_TEST_DIR"
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)


def city() -> Path:
    """The database of cities."""
    return database("GeoIP2-City-Test.mmdb")


def asn() -> Path:
    """That of autonomous systems."""
    return database("GeoLite2-ASN-Test.mmdb")


def anonymous() -> Path:
    """That of addresses that hide who calls."""
    return database("GeoIP2-Anonymous-IP-Test.mmdb")
