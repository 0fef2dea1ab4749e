"""What these tests need beside Python."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError


@pytest.fixture(scope="session", autouse=True)
def envoy_binary(missing: Callable[[str], Never]) -> Path:
    """The binary; without it these tests are skipped, or fail where everything is required."""
    try:
        return find_envoy()
    except ConfigurationError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def missing() -> Callable[[str], Never]:
    """Skip, or fail where `REQUIRE_ALL` is set."""

    def end(message: str) -> Never:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)

    return end
