"""Approvals in a store of their own for each test."""

import pytest
from approval.kept import Place
from store.one_loop import run


@pytest.fixture
def place() -> Place:
    found = Place()
    run(found.feed.load())
    return found
