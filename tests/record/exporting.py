"""Exporters of spans at work, and real receivers of OTLP for them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from otlp_receivers import Receiver, over_grpc, over_http
from record.making_records import allowed

from extauthz.record.decision import DecisionRecord
from extauthz.record.tracing import Tracing, open_tracing

PROTOCOLS = ("grpc", "http/protobuf")
RECEIVERS: dict[str, Callable[..., AbstractContextManager[Receiver]]] = {"grpc": over_grpc, "http/protobuf": over_http}
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "10"}


@contextmanager
def tracing(endpoint: str, protocol: str, **environ: str) -> Iterator[Tracing]:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **QUICK, **environ}
    made = open_tracing(variables, version="1.2.3")
    assert made is not None
    try:
        yield made
    finally:
        made.close()


def decisions(count: int, first: int = 0) -> list[DecisionRecord]:
    return [allowed(number) for number in range(first, first + count)]
