"""The approvers' pages, with nobody logged in."""

from collections.abc import Iterator

import pytest
from approvers.visiting import World
from web.conftest import run


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    run(made.store.close())
