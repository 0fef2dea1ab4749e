"""A checker for the transports to carry."""

import pytest
from checking import Bench, make_bench

from extauthz.store.memory import MemoryStore


@pytest.fixture
def bench() -> Bench:
    """A checker over a store in memory."""
    return make_bench(MemoryStore())
