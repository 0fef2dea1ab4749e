"""What is known of a store at the start: one that is silent at first may still be one that must not be used."""

import asyncio

import pytest

from extauthz.check.store_watch import StoreWatch
from extauthz.errors import ConfigurationError, ExtauthzError, StateUnavailable
from extauthz.store.memory import MemoryStore


class Slow(MemoryStore):
    """Says this, one after the other, when it is looked at; then all is well."""

    def __init__(self, *errors: ExtauthzError) -> None:
        super().__init__()
        self.left = list(errors)

    async def ping(self) -> None:
        if self.left:
            raise self.left.pop(0)


def test_a_store_that_is_silent_at_first_is_asked_again() -> None:
    watch = StoreWatch(Slow(StateUnavailable("no answer within 80 ms")))
    asyncio.run(watch.start())
    assert (watch.standing.reached, watch.standing.error) == (True, None)


def test_a_store_that_must_not_be_used_ends_a_start_also_where_it_was_silent_at_first() -> None:
    watch = StoreWatch(Slow(StateUnavailable("no answer within 80 ms"), ConfigurationError("it may forget")))
    with pytest.raises(ConfigurationError, match="it may forget"):
        asyncio.run(watch.start())


def test_a_store_that_stays_silent_may_come_later() -> None:
    watch = StoreWatch(Slow(*[StateUnavailable("no answer within 80 ms")] * 1_000), now=lambda: 5.0)
    asyncio.run(watch.start())
    assert watch.standing.reached is False
    assert (watch.standing.failing_since, watch.standing.error) == (5.0, "no answer within 80 ms")
