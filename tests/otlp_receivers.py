"""Receivers of OTLP that say what a test wants: over gRPC and over HTTP, on free ports of this machine."""

import gzip
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span


@dataclass(frozen=True, kw_only=True)
class Say:
    """One answer. `wait` is an event that it waits for; `code` is an HTTP status, or the name of one of gRPC."""

    code: int | str = 200
    headers: Sequence[tuple[str, str | bytes]] = ()
    body: bytes = b""
    rejected: int = 0
    wait: threading.Event | None = None


@dataclass
class Receiver:
    """What has arrived, and what is answered: to spans each of `answers` once, and then that it is well; to metrics
    always that."""

    endpoint: str = ""
    answers: list[Say] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    calls: int = 0
    arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def sent(self) -> list[tuple[str, Span]]:
        """Every span that was taken, with the name of the service that has sent it."""
        with self.arrived:
            found = [one for request in self.requests for one in request.resource_spans]
        return [(_service(one), span) for one in found for scope in one.scope_spans for span in scope.spans]

    @property
    def spans(self) -> list[Span]:
        """Every span that was taken."""
        return [span for _, span in self.sent]

    def wait_for(self, wanted: Callable[["Receiver"], bool], *, seconds: float = 20) -> None:
        """Until `wanted` holds, also where it is something else than what has arrived here."""
        until = time.monotonic() + seconds
        while not wanted(self):
            assert time.monotonic() < until, (self.calls, len(self.requests))
            time.sleep(0.01)

    def take_metrics(self, payload: bytes) -> None:
        """They have arrived."""
        with self.arrived:
            self.metrics.append(ExportMetricsServiceRequest.FromString(payload))
            self.arrived.notify_all()

    def take(self, payload: bytes, headers: dict[str, str]) -> Say:
        """What is said to this request; one that is not taken does not count as arrived."""
        with self.arrived:
            self.calls += 1
            self.headers.append(headers)
            say = self.answers.pop(0) if self.answers else Say()
            self.arrived.notify_all()
        if say.wait is not None:
            say.wait.wait(30)
        if say.code == 200:
            with self.arrived:
                self.requests.append(ExportTraceServiceRequest.FromString(payload))
                self.arrived.notify_all()
        return say


@contextmanager
def over_http(*, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver over HTTP, at `endpoint` with `/v1/traces` and `/v1/metrics` behind it."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                receiver.take_metrics(body)
                say, answer = Say(), b""
            else:
                assert self.path == "/v1/traces"
                say = receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
                answer = say.body or _answer(say)
            self.send_response(int(say.code))
            for name, value in say.headers:
                self.send_header(name, str(value))
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # whoever hangs up in the middle may
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Servicer(TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(  # noqa: N802 - the name of the method in OTLP
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        say = self._receiver.take(request.SerializeToString(), metadata)
        if isinstance(say.code, str):
            context.set_trailing_metadata(tuple(say.headers))
            context.abort(grpc.StatusCode[say.code], "as the test wants it")
        return ExportTraceServiceResponse.FromString(_answer(say))


class _MetricsServicer(MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(  # noqa: N802 - the name of the method in OTLP
        self,
        request: ExportMetricsServiceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002 - its interface
    ) -> ExportMetricsServiceResponse:
        self._receiver.take_metrics(request.SerializeToString())
        return ExportMetricsServiceResponse()


@contextmanager
def over_grpc(*, port: int = 0, tls: grpc.ServerCredentials | None = None) -> Iterator[Receiver]:
    """A receiver over gRPC."""
    receiver = Receiver()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(_Servicer(receiver), server)  # type: ignore[no-untyped-call]  # generated, without types
        add_MetricsServiceServicer_to_server(_MetricsServicer(receiver), server)  # type: ignore[no-untyped-call]  # likewise
        address = f"127.0.0.1:{port}"
        bound = server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls)
        receiver.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{bound}"
        server.start()
        try:
            yield receiver
        finally:
            server.stop(None).wait()


def _service(spans: ResourceSpans) -> str:
    names = {entry.key: entry.value.string_value for entry in spans.resource.attributes}
    return names.get("service.name", "")


def _answer(say: Say) -> bytes:
    answer = ExportTraceServiceResponse()
    if say.rejected:
        answer.partial_success.rejected_spans = say.rejected
        answer.partial_success.error_message = "too odd"
    return answer.SerializeToString()
