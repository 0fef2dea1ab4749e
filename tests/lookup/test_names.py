"""Names that nobody answers for: whoever asks for them waits, and nobody else."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from extauthz.lookup import names
from extauthz.lookup.names import THREADS, NamesApart

HANGS = "hangs.example"
FAR = 30.0  # seconds: only what never comes takes so long


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The hosts that were looked up; one of them has no answer while the test runs."""
    asked: list[object] = []
    ended = threading.Event()
    system = socket.getaddrinfo

    def look_up(host: object, *rest: object) -> object:
        asked.append(host)
        if host == HANGS:
            ended.wait(FAR)
        return system("127.0.0.1", *rest[:1])  # type: ignore[arg-type]  # a port

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    ended.set()


def test_a_name_that_hangs_holds_up_no_other_name_and_no_other_thread(asked: list[object]) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        hanging = [asyncio.create_task(loop.getaddrinfo(HANGS, 443)) for _ in range(100)]
        await asyncio.sleep(0)
        async with asyncio.timeout(FAR / 2):
            assert (await loop.getaddrinfo("well.example", 443))[0][4] == ("127.0.0.1", 443)
            assert await asyncio.to_thread(lambda: "done") == "done"
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    with asyncio.Runner(loop_factory=NamesApart) as runner:
        runner.run(play())
    assert asked.count(HANGS) <= THREADS


def test_hosts_without_number_do_not_take_threads_without_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_HOSTS", 3)

    async def play() -> None:
        before = threading.active_count()
        for number in range(50):
            await asyncio.get_running_loop().getaddrinfo(f"h{number}.example", 443)
        assert threading.active_count() - before < 40

    with asyncio.Runner(loop_factory=NamesApart) as runner:
        runner.run(play())
