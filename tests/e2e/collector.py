"""A receiver of traces that speaks OTLP over gRPC as a collector does."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(TraceServiceServicer):
    """Keeps every span with the name of the service that sent it."""

    def __init__(self) -> None:
        self.port = 0
        self._spans: list[tuple[str, Span]] = []
        self._arrived = threading.Condition()

    def Export(  # noqa: N802 - the name of the method in OTLP
        self,
        request: ExportTraceServiceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002 - its interface
    ) -> ExportTraceServiceResponse:
        with self._arrived:
            for resource_spans in request.resource_spans:
                names = {entry.key: entry.value.string_value for entry in resource_spans.resource.attributes}
                for scope in resource_spans.scope_spans:
                    self._spans += [(names.get("service.name", ""), span) for span in scope.spans]
            self._arrived.notify_all()
        return ExportTraceServiceResponse()

    def wait_for(
        self, wanted: Callable[[list[tuple[str, Span]]], bool], *, seconds: float = 10
    ) -> list[tuple[str, Span]]:
        """All spans (service, span), once `wanted` holds of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: wanted(self._spans), seconds), [
                (service, span.name, span.trace_id.hex(), span.parent_span_id.hex()) for service, span in self._spans
            ]
            return list(self._spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated, without types
        collector.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()
