"""A receiver of spans as Envoy's tracer for Zipkin sends them."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Zipkin:
    """What has arrived: spans as Zipkin's API has them (version 2)."""

    port: int = 0
    spans: list[Mapping[str, Any]] = field(default_factory=list)


@contextmanager
def zipkin() -> Iterator[Zipkin]:
    """Run it on a free port."""
    received = Zipkin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.spans += json.loads(b"".join(self.chunks()))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def chunks(self) -> Iterator[bytes]:
            """Those of the body, as Envoy sends them (RFC 9112 section 7.1)."""
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
