"""A receiver of spans in a process of its own, over gRPC and HTTP, which reads each and tells how many have come.

    python -m bench.harness.collector GRPC-ADDRESS HTTP-ADDRESS [--silent]

With `--silent` it takes everything and answers nothing. `GET /spans` over HTTP tells the number.
"""

import argparse
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.request import urlopen

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bench.harness.servers import Yard, free_address, listens

EXPORT: Final = "Export"
SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_TAKEN: Final = ExportTraceServiceResponse().SerializeToString()
_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """One that runs, and where it listens."""

    grpc: str
    http: str

    def over_grpc(self) -> dict[str, str]:
        """The variables by which a server sends it spans."""
        return {ENDPOINT: f"http://{self.grpc}", PROTOCOL: "grpc"}

    def over_http(self) -> dict[str, str]:
        """Likewise."""
        return {ENDPOINT: f"http://{self.http}/v1/traces", PROTOCOL: "http/protobuf"}

    def spans(self) -> int:
        """How many have come."""
        with urlopen(f"http://{self.http}/spans", timeout=_SECONDS) as answer:
            return int(answer.read())


def start_collector(yard: Yard, *, silent: bool = False) -> Collector:
    """Start one, on the core of the yard."""
    collector = Collector(grpc=free_address(), http=free_address())
    command = [sys.executable, "-m", "bench.harness.collector", collector.grpc, collector.http]
    name = "silent collector" if silent else "collector"
    yard.start(name, [*command, "--silent"] if silent else command, lambda: listens(collector.http))
    return collector


class _Tally:
    """How many spans have come; where it is silent, nobody hears that they have."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._lock = threading.Lock()
        self.spans = 0

    def take(self, payload: bytes) -> bytes:
        """The answer to a request."""
        if self._silent:
            threading.Event().wait()
        request = ExportTraceServiceRequest.FromString(payload)
        found = sum(len(scope.spans) for one in request.resource_spans for scope in one.scope_spans)
        with self._lock:
            self.spans += found
        return _TAKEN


def _serve_grpc(tally: _Tally, address: str) -> grpc.Server:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda payload, _: tally.take(payload)
    )
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {EXPORT: handler}),))
    server.add_insecure_port(address)
    server.start()
    return server


def _http_server(tally: _Tally, address: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._say(tally.take(self.rfile.read(int(self.headers["content-length"]))))

        def do_GET(self) -> None:
            self._say(str(tally.spans).encode())

        def _say(self, answer: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Says nothing."""

    host, _, port = address.rpartition(":")
    return ThreadingHTTPServer((host, int(port)), Handler)


def main() -> None:
    """Take spans until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grpc", metavar="GRPC-ADDRESS")
    parser.add_argument("http", metavar="HTTP-ADDRESS")
    parser.add_argument("--silent", action="store_true", help="answer nothing")
    options = parser.parse_args()
    tally = _Tally(silent=options.silent)
    server = _serve_grpc(tally, options.grpc)
    try:
        _http_server(tally, options.http).serve_forever()
    finally:
        server.stop(None)


if __name__ == "__main__":
    main()
