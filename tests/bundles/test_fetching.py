"""Fetching a bundle from a server that sends it byte by byte."""

import asyncio

import pytest

from extauthz.app import fetching
from extauthz.app.fetching import Fetcher
from extauthz.lookup.peers import OutOfReach

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"


@pytest.mark.parametrize("head", [HEAD, b""], ids=["a body", "headers"])
def test_a_server_that_sends_a_byte_now_and_then_is_out_of_reach(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "WHOLE", 0.5)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        try:
            for byte in HEAD * 100:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Fetcher() as fetcher:
            with pytest.raises(OutOfReach, match=r"policies\.tar\.gz: no whole bundle within 0\.5 s$"):
                await fetcher.fetch(f"http://127.0.0.1:{port}/policies.tar.gz", etag=None)

    asyncio.run(scene())
