"""What is compiled in the checkout, for tests of that."""

import os
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[2]


def require_compiled() -> None:
    """Skip where nothing is compiled, or fail where `REQUIRE_ALL` is set."""
    if (ROOT / hatch_build.DIGEST).exists():
        return
    missing = "nothing is compiled: `make install` does that where there is a compiler of C"
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(missing)
    pytest.skip(missing)
