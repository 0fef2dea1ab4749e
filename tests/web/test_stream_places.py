"""Places of streams: how many there are, and that each is given back."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message
from store.one_loop import run

from extauthz.web.streams import PlacedResponse, Places


def test_there_are_so_many_in_all_and_for_each() -> None:
    places = Places[str]()
    first = places.take("a", most=3, most_of_one=2)
    assert first is not None
    assert places.take("a", most=3, most_of_one=2) is not None
    assert places.take("a", most=3, most_of_one=2) is None
    assert places.take("b", most=3, most_of_one=2) is not None
    assert places.take("c", most=3, most_of_one=2) is None
    for _ in range(2):
        first.leave()
    assert places.take("c", most=3, most_of_one=2) is not None
    assert places.take("d", most=3, most_of_one=2) is None, "who leaves twice has left once"


@pytest.mark.parametrize("fails", [True, False])
def test_a_place_is_free_when_its_answer_is_over_even_if_it_never_began(fails: bool) -> None:
    places = Places[str]()

    async def events() -> AsyncIterator[bytes]:
        yield b"one"

    async def send(message: Message) -> None:
        if fails:
            raise OSError(message["type"])

    async def receive() -> Message:
        return await asyncio.Future()

    async def play() -> None:
        place = places.take("a", most=1, most_of_one=1)
        assert place is not None
        answer = PlacedResponse(place, events(), {})
        assert places.take("a", most=1, most_of_one=1) is None, "it counts from when it is let in"
        try:
            await answer({"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}, receive, send)
        except* OSError:
            assert fails

    run(play())
    assert places.take("a", most=1, most_of_one=1) is not None
