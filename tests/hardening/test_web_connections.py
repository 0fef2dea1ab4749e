"""Connections to the pages' listener that send no request, half of one, or nonsense: all others are answered."""

import asyncio
import resource
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from patience import GENEROUS, comes
from serving import CONFIG, POLICY, Served, command, end, start
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from extauthz.app import web_connections
from extauthz.app.listening import WebServer
from extauthz.app.web_connections import WebConnection

WHOLE = b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n"
LARGE = 50_000_000
"""Bytes for which there is room nowhere on the way."""
FEW = 256
"""Files and connections that a process may have open, unless it says that it needs more."""
HALVES = {
    "nothing": b"",
    "half a line": b"GET /no",
    "headers without an end": b"GET /now HTTP/1.1\r\nhost: x\r\n",
    "half a body": b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc",
    "a chunk of many": b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "half of a second one": WHOLE + b"GET /now HT",
    "half a body after a whole one": WHOLE + b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc",
}


class Place:
    """A listener with an application that answers at once, after a body, and late."""

    def __init__(self) -> None:
        self.broke_off = 0
        self.asked: set[str] = set()
        """Whose answers are late or large."""
        self.go_on = asyncio.Event()
        routes = [
            Route("/now", self._now),
            Route("/body", self._body, methods=["POST"]),
            Route("/late", self._late),
            Route("/some", self._some),
            Route("/more", self._more),
            Route("/large", self._large),
        ]
        self.server = WebServer(Starlette(routes=routes), address="127.0.0.1:0", key="listen.web")

    async def _now(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("now")

    async def _body(self, request: Request) -> PlainTextResponse:
        try:
            return PlainTextResponse((await request.body()).decode())
        except ClientDisconnect:
            self.broke_off += 1
            return PlainTextResponse("")

    async def _some(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * 6_000)

    async def _more(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * 200_000)

    async def _late(self, _: Request) -> PlainTextResponse:
        self.asked.add("/late")
        await self.go_on.wait()
        return PlainTextResponse("late")

    async def _large(self, _: Request) -> PlainTextResponse:
        self.asked.add("/large")
        return PlainTextResponse("x" * LARGE)

    async def connect(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        await writer.drain()
        return reader, writer


async def until(what: Callable[[], bool]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(GENEROUS):
        while not what():  # noqa: ASYNC110 - a server tells nobody what it has
            await asyncio.sleep(0.01)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed."""
    found = b""
    try:
        async with asyncio.timeout(GENEROUS):
            while part := await reader.read(65_536):
                found += part
    except ConnectionResetError:
        pass
    return found


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    made = Place()
    serving = asyncio.create_task(made.server.serve())
    try:
        yield made
    finally:
        made.server.stop()
        await serving
        made.server.close()


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
def test_who_does_not_send_a_whole_request_is_not_waited_for(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_connections, "LONGEST_WAIT", 0.3)

    async def scene() -> None:
        async with place() as here:
            reader, writer = await here.connect(sent)
            assert (await all_of(reader)).count(b"HTTP/1.1 200 OK") == sent.count(WHOLE)
            writer.close()
        assert here.broke_off == (1 if b"POST" in sent else 0)

    asyncio.run(scene())


def test_who_drips_is_not_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_connections, "LONGEST_WAIT", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)

    async def scene() -> None:
        async with place() as here:
            reader, writer = await here.connect(b"GET /now HTTP/1.1\r\n")
            dripping = asyncio.create_task(drip(writer))
            assert await all_of(reader) == b""
            await dripping

    asyncio.run(scene())


def test_who_waits_for_an_answer_is_waited_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_connections, "LONGEST_WAIT", 0.2)

    async def scene() -> None:
        async with place() as here:
            reader, writer = await here.connect(WHOLE.replace(b"/now", b"/late"))
            await asyncio.sleep(0.6)
            here.go_on.set()
            async with asyncio.timeout(GENEROUS):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()

    asyncio.run(scene())


@pytest.mark.parametrize("more", ["", "connection: close\r\n"], ids=["stays", "closes"])
def test_who_takes_no_answer_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    monkeypatch.setattr(web_connections, "LONGEST_WAIT", 0.3)

    async def scene() -> None:
        async with place() as here:
            host, _, port = here.server.address.rpartition(":")
            with socket.create_connection((host, int(port))) as line:
                line.sendall(f"GET /large HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode())
                connections = here.server._server.server_state.connections
                await until(lambda: "/large" in here.asked and not connections)
                line.settimeout(GENEROUS)
                assert await asyncio.to_thread(_size_of, line) < LARGE

    asyncio.run(scene())


def test_who_takes_all_but_the_end_of_a_last_answer_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room again, nothing more is asked, and the connection is closed when the rest has gone."""
    monkeypatch.setattr(web_connections, "LONGEST_WAIT", GENEROUS)

    async def scene() -> None:
        async with place() as here:
            host, _, port = here.server.address.rpartition(":")
            connections = here.server._server.server_state.connections
            with socket.socket() as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                line.connect((host, int(port)))
                assert await asyncio.to_thread(comes, lambda: bool(connections))
                (connection,) = connections
                assert isinstance(connection, WebConnection)
                # What is on its way is little, so that the rest goes in small steps.
                connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
                line.sendall(b"GET /more HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                line.setblocking(False)
                async with asyncio.timeout(GENEROUS):
                    await asyncio.get_running_loop().sock_recv(line, 1_000)
                    monkeypatch.setattr(web_connections, "LONGEST_WAIT", 0.5)  # from when there is room on
                    while connection.flow.write_paused:
                        await asyncio.get_running_loop().sock_recv(line, 1_000)
                assert connection.transport.get_write_buffer_size()
                assert connection.transport.is_closing()
                assert await asyncio.to_thread(comes, lambda: not connections)

    asyncio.run(scene())


def test_who_asks_on_and_on_and_takes_nothing_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next request is there each time, so that nobody would wait for that."""
    monkeypatch.setattr(web_connections, "LONGEST_WAIT", 0.5)

    async def scene() -> None:
        async with place() as here:
            host, _, port = here.server.address.rpartition(":")
            with socket.socket() as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                line.settimeout(1)
                await asyncio.to_thread(line.connect, (host, int(port)))
                with suppress(OSError):  # there is no room for more, or it is closed already
                    await asyncio.to_thread(line.sendall, WHOLE.replace(b"/now", b"/some") * 2_000)
                connections = here.server._server.server_state.connections
                assert await asyncio.to_thread(comes, lambda: not connections)

    asyncio.run(scene())


def _size_of(line: socket.socket) -> int:
    size = 0
    with suppress(ConnectionError):
        while part := line.recv(1_000_000):
            size += len(part)
    return size


def test_of_too_many_the_one_that_has_waited_longest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_connections, "MOST", 3)

    async def scene() -> None:
        async with place() as here:
            busy, *_ = lines = [await here.connect(sent) for sent in (WHOLE.replace(b"/now", b"/late"), b"GET", b"GET")]
            connections = here.server._server.server_state.connections
            await until(lambda: "/late" in here.asked and len(connections) == 3)
            lines.append(await here.connect(WHOLE))
            async with asyncio.timeout(GENEROUS):
                assert await lines[3][0].readline() == b"HTTP/1.1 200 OK\r\n"
            assert await all_of(lines[1][0]) == b""
            assert not lines[2][0].at_eof()
            here.go_on.set()
            async with asyncio.timeout(GENEROUS):
                assert await busy[0].readline() == b"HTTP/1.1 200 OK\r\n"
            for _, writer in lines:
                writer.close()

    asyncio.run(scene())


def test_many_that_come_at_once_are_not_too_many_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them come before any that gives way has gone."""
    monkeypatch.setattr(web_connections, "MOST", 40)

    async def scene() -> None:
        async with place() as here:
            host, _, port = here.server.address.rpartition(":")
            connections = here.server._server.server_state.connections
            with ExitStack() as stack:
                for _ in range(10):
                    for _ in range(web_connections.at_once()):
                        stack.enter_context(socket.create_connection((host, int(port))))
                    await asyncio.sleep(0.05)  # they are taken
                await until(lambda: len(connections) == 40)
                _, writer = await here.connect(WHOLE)
                writer.close()

    asyncio.run(scene())


@pytest.mark.parametrize(("files", "most", "at_once"), [(10_240, 2_048, 512), (1_024, 204, 51), (256, 51, 12)])
def test_listeners_share_what_the_process_may_have_open(files: int, most: int, at_once: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files > hard:
        pytest.skip("this process may have fewer files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        assert (web_connections.most(), web_connections.at_once()) == (most, at_once)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_nobody_counts_files_connections_are_bounded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux counts always."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert web_connections.most() == web_connections.MOST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    running = start(folder)
    yield running
    end(running)


def test_nonsense_makes_no_line_of_the_log(served: Served) -> None:
    host, _, port = served.said["web"].rpartition(":")
    upgrade = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
    for sent in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, upgrade):
        with socket.create_connection((host, int(port))) as line:
            line.settimeout(GENEROUS)
            try:
                line.sendall(sent)
                assert line.recv(12) in {b"HTTP/1.1 400", b"HTTP/1.1 404"}
            except ConnectionError:
                continue
    assert served.allows("/one")
    served.process.terminate()
    served.next_event("stopped")
    assert [one["event"] for one in served.heard if one["logger"].startswith("uvicorn")] == []


@pytest.fixture
def narrow(folder: Path, transport: str, limit: str) -> Iterator[Served]:
    """A server whose limit of files and connections is low."""
    words = ["sh", "-c", f'ulimit {limit} {FEW}; exec "$@"', "sh", *command(folder, transport)]
    running = Served(subprocess.Popen(words, stderr=subprocess.PIPE, text=True), folder, {}, [])
    try:
        running.said = running.next_event("serving")
        yield running
    finally:
        end(running)


def fill(stack: ExitStack, address: str, times: int) -> None:
    """Open so many connections and send nothing on them."""
    host, _, port = address.rpartition(":")
    for _ in range(times):
        line = stack.enter_context(socket.socket())
        line.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            line.connect((host, int(port)))


@pytest.mark.parametrize("limit", ["-Sn"])
def test_who_fills_one_listener_silences_no_other(narrow: Served) -> None:
    """Of files and connections a process may have as many as its limit says; the soft one it raises."""
    with ExitStack() as stack:
        fill(stack, narrow.said["web"], FEW)
        assert narrow.allows("/one")
        assert narrow.probe("/live").status_code == 200


@pytest.mark.parametrize("limit", ["-n"])
def test_who_fills_all_listeners_silences_none_however_low_the_limit(narrow: Served) -> None:
    """Where the hard limit is low, too, there is no raising it."""
    with ExitStack() as stack:
        for key in ("web", "admin"):
            fill(stack, narrow.said[key], FEW)
        assert narrow.allows("/one")
        assert narrow.probe("/live").status_code == 200
        host, _, port = narrow.said["web"].rpartition(":")
        assert httpx.get(f"http://{host}:{port}/", timeout=GENEROUS).status_code == 404
