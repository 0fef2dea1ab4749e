"""Checkers for these tests."""

import pytest
from checking import Bench, make_bench

from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Store


@pytest.fixture
def store() -> Store:
    """The store under the checker; tests of broken ones override it."""
    return MemoryStore()


@pytest.fixture
def bench(store: Store) -> Bench:
    """A checker over the store under test."""
    return make_bench(store)


@pytest.fixture(scope="session")
def shared_bench() -> Bench:
    """A checker that one property test may use for all of its examples."""
    return make_bench(MemoryStore())
