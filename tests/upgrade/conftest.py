"""Each version is unpacked once."""

from collections.abc import Callable

import pytest
from upgrade.earlier import Program, Version, unpacked

Unpack = Callable[[Version], Program]


@pytest.fixture(scope="session")
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Unpack:
    """The program of a version."""
    known: dict[str, Program] = {}

    def unpack(version: Version) -> Program:
        if version.name not in known:
            known[version.name] = unpacked(version, tmp_path_factory.mktemp(version.name))
        return known[version.name]

    return unpack
