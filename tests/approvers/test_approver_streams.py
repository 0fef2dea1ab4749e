"""Open pages of approvers hear of news."""

import asyncio

from approvers.visiting import TREASURY, World, first_events
from msgspec.structs import replace as changed
from web.conftest import run


def test_an_open_page_hears_of_news_and_nothing_else(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)

    async def scene() -> list[bytes]:
        following = asyncio.create_task(world.news.follow())
        await asyncio.sleep(0.05)  # the first news are that there may have been some
        listening = asyncio.create_task(first_events(anna, 4))
        await asyncio.sleep(0.05)
        before = await world.store.approval("a1")
        assert before is not None
        await world.store.replace_approval(changed(before, version=2), version=1, keep=1.0, now=world.now)
        pieces = await asyncio.wait_for(listening, 30)
        following.cancel()
        return pieces

    world.opened()
    pieces = run(scene())
    assert pieces[0] == b"200"
    assert set(pieces[2:]) == {b"event: changed\ndata: \n\n"}


def test_streams_end_with_the_server(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)

    async def scene() -> list[bytes]:
        listening = asyncio.create_task(first_events(anna, 99))
        await asyncio.sleep(0.05)
        world.news.let_go()
        return await asyncio.wait_for(listening, 10)

    assert run(scene())[0] == b"200"


def test_one_person_holds_no_more_streams_than_there_may_be(world: World) -> None:
    anna = world.logged_in("anna", TREASURY)

    async def scene() -> list[bytes]:
        streams = [asyncio.create_task(first_events(anna, 99)) for _ in range(16)]
        await asyncio.sleep(0.1)
        refused = await first_events(anna, 1)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return [*refused, *(await first_events(anna, 2))]

    pieces = run(scene())
    assert (pieces[0], pieces[1]) == (b"503", b"200")
