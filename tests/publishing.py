"""A site on loopback that answers as a test tells it, over HTTP or HTTPS, and remembers what it was asked."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is answered. `held` is waited for before; `pause` is slept, in seconds, before each byte."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    held: threading.Event | None = None
    pause: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: its headers in lower case, the status that it was answered with."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int


class Site:
    """Runs in threads of its own; `pages` may be changed at any time. `trust` makes it speak HTTPS."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self._trust = trust
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self._port}" if self._trust is None else f"https://localhost:{self._port}"

    def count(self, path: str) -> int:
        """How often `path` was asked for."""
        return sum(one.path == path for one in self.asked)

    def up(self) -> None:
        """Listen, where it did before."""
        server = _Server(("127.0.0.1", self._port), self._handler())
        if self._trust is not None:
            server.socket = self._trust.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._server, self._port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Page]:
        """The status and the page of a request, which is remembered."""
        page = self.pages.get(path, Page(status=404))
        etag = page.headers.get("etag")
        status = 304 if etag is not None and headers.get("if-none-match") == etag else page.status
        self.asked.append(Asked(method=method, path=path, headers=headers, body=body, status=status))
        if page.held is not None:
            page.held.wait(30)
        return status, page

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(_Handler):
            def respond(self, headers: dict[str, str], body: bytes) -> tuple[int, Page]:
                return site.answer(self.command, self.path, headers, body)

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the library's five, whoever comes with several waits a second to be let in


class _Handler(BaseHTTPRequestHandler):
    def respond(self, headers: dict[str, str], body: bytes) -> tuple[int, Page]:
        raise NotImplementedError

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, page = self.respond(headers, self.rfile.read(int(headers.get("content-length", "0"))))
        content = page.body.encode() if isinstance(page.body, str) else page.body
        with suppress(OSError):  # whoever asked did not wait
            self.send_response(status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            if status != 304:
                self._write(content, page.pause)

    do_POST = do_GET  # noqa: N815 - the name is the library's

    def _write(self, content: bytes, pause: float) -> None:
        if not pause:
            self.wfile.write(content)
            return
        for byte in content:
            time.sleep(pause)
            self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
        """Say nothing."""


@contextmanager
def publishing(trust: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A site that is gone afterwards."""
    site = Site(trust)
    try:
        yield site
    finally:
        site.down()
