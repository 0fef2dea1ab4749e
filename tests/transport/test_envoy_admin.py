"""What an Envoy says of itself that runs the server, and what comes of it when it says something else."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.transport.envoy_admin import EnvoyAdmin, NoAnswer


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's tmp_path: the name of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="admin-") as made:
        yield Path(made)


async def drained(path: Path, *, stats: str) -> None:
    """Drain an Envoy that tells this as its statistics."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(stats)}\r\n\r\n{stats}".encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        await EnvoyAdmin(path).drain(0, 0)


@pytest.mark.parametrize("stats", ["", "No such stat", "http.grpc.downstream_rq_total: many\n"])
def test_a_count_that_it_does_not_tell_is_no_answer(folder: Path, stats: str) -> None:
    with pytest.raises(NoAnswer, match=r"no number for `http\.grpc\.downstream_rq_total`"):
        asyncio.run(drained(folder / "admin.sock", stats=stats))


def test_nobody_waits_for_callers_where_none_ever_came(folder: Path) -> None:
    asyncio.run(drained(folder / "admin.sock", stats="http.grpc.downstream_rq_total: 0\n"))
