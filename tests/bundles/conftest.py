"""A server of bundles on loopback HTTPS, and a folder with a configuration that follows it."""

import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from bundles.bundling import KEY, good, public_pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from serving import POLICY, Serve, Served, command

from extauthz.policy.bundle import sign

CONFIG = """
listen: {grpc: "127.0.0.1:0", web: "127.0.0.1:0", admin: "127.0.0.1:0"}
store: "memory:"
bundles: [{url: "URL", key: public.pem, poll: 100ms}]
"""


@dataclass
class BundleServer:
    """What the server gives, and what it was asked."""

    url: str = ""
    archive: bytes = b""
    signature: bytes = b""
    status: int = 200
    location: str = ""
    asked: list[tuple[float, str, int]] = field(default_factory=list)

    def publish(self, version: int, path: str, *, key: Ed25519PrivateKey = KEY, name: str = "policies") -> None:
        self.put(good(version, POLICY.format(path=path), name=name), key=key)

    def put(self, archive: bytes, *, key: Ed25519PrivateKey = KEY) -> None:
        self.archive, self.signature = archive, sign(archive, key)

    def answer(self, path: str, etag: str | None) -> tuple[int, bytes, str]:
        if self.status != 200:
            return self.status, b"", ""
        if path.endswith(".sig"):
            return (200, self.signature, "") if self.signature else (404, b"", "")
        mine = f'"{sha256(self.archive).hexdigest()}"'
        return (304, b"", mine) if etag == mine else (200, self.archive, mine)

    def statuses(self, path: str = "/policies.tar.gz") -> list[int]:
        return [status for _, asked, status in self.asked if asked == path]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle_server(authority: trustme.CA) -> Iterator[BundleServer]:
    given = BundleServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, etag = given.answer(self.path, self.headers["if-none-match"])
            given.asked.append((time.monotonic(), self.path, status))
            self.send_response(status)
            if etag:
                self.send_header("etag", etag)
            if given.location:
                self.send_header("location", given.location)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    given.url = f"https://localhost:{server.server_address[1]}/policies.tar.gz"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield given
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path, bundle_server: BundleServer, authority: trustme.CA) -> Path:
    """A configuration that follows the server and trusts its authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "public.pem").write_bytes(public_pem())
    (tmp_path / "extauthz.yaml").write_text(CONFIG.replace("URL", bundle_server.url))
    return tmp_path


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    """The environment of a server that trusts the authority."""
    return {**os.environ, "SSL_CERT_FILE": str(folder / "ca.pem")}


@pytest.fixture
def serve(folder: Path, environ: dict[str, str]) -> Iterator[Serve]:
    """Starts servers; ends those that a test leaves behind."""
    started: list[subprocess.Popen[str]] = []

    def start(**more: str) -> Served:
        process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, text=True, env={**environ, **more})
        started.append(process)
        served = Served(process, folder, {}, [])
        served.said = served.next_event("serving")
        return served

    yield start
    for process in started:
        process.kill()
        process.communicate()
