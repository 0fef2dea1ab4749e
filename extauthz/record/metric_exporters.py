"""Sends metrics to the exporters of OpenTelemetry, every so often.

The rule kept here: they are looked at on the event loop, which is quick, and are sent by a thread that nobody waits
for. An exporter that is slow gets the next ones when it is done.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import structlog
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from extauthz.errors import ConfigurationError
from extauthz.record.metric_export import Look
from extauthz.record.metric_points import points_of
from extauthz.record.otel_sdk import resource_of
from extauthz.record.otlp_settings import Otlp, number_of, read_otlp

CLOSING: Final = 3.0
"""Seconds that `close` gives to the last ones."""
_SCOPE: Final = "extauthz"
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_INTERVAL: Final = 60_000
_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_GROUP: Final = "opentelemetry_metrics_exporter"

_log = structlog.get_logger(__name__)


def open_exporters(environ: Mapping[str, str], names: Sequence[str], look: Look, *, version: str) -> "MetricExports":
    """What sends metrics to each of these exporters.

    Raises:
        ConfigurationError: the variables ask for what does not exist.
    """
    interval = number_of(_INTERVAL, environ.get(_INTERVAL, ""), _DEFAULT_INTERVAL) / 1000
    preference = environ.get(_TEMPORALITY, "").strip().lower()
    if preference not in ("", "cumulative"):
        raise ConfigurationError(
            f"{_TEMPORALITY}: `{preference}` is not offered; use `cumulative`, which a collector can turn into others"
        )
    exporters = {name: _otlp(read_otlp(environ, "METRICS")) if name == "otlp" else _loaded(name) for name in names}
    return MetricExports(
        exporters, look, resource=resource_of(environ, version=version), version=version, every=interval
    )


class MetricExports:
    """Sends what `look` finds to all `exporters`, `every` so many seconds. Belongs to one event loop."""

    def __init__(
        self,
        exporters: Mapping[str, MetricExporter],
        look: Look,
        *,
        resource: Resource,
        version: str,
        every: float,
    ) -> None:
        self._exporters = exporters
        self._look = look
        self._resource = resource
        self._scope = InstrumentationScope(_SCOPE, version)
        self._every = every
        self._started_ns = time.time_ns()
        self._failing: set[str] = set()
        self._running: dict[str, Future[None]] = {}

    async def follow(self) -> None:
        """Send them, every so often, for ever."""
        while True:
            await asyncio.sleep(self._every)
            self._send()

    async def close(self) -> None:
        """Send them once more; what is not taken within a few seconds is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._done()
                self._send()
                await self._done()
        for exporter in self._exporters.values():
            # It breaks off what is on its way, and may wait for it.
            _in_thread(exporter.shutdown)

    def _send(self) -> None:
        points = points_of(
            self._look(),
            resource=self._resource,
            scope=self._scope,
            started_ns=self._started_ns,
            now_ns=time.time_ns(),
        )
        for name, exporter in self._exporters.items():
            before = self._running.get(name)
            if before is None or before.done():
                self._running[name] = _in_thread(partial(self._export, name, exporter, points))

    async def _done(self) -> None:
        await asyncio.gather(*(asyncio.wrap_future(one) for one in self._running.values()))

    def _export(self, name: str, exporter: MetricExporter, points: MetricsData) -> None:
        try:
            failed = exporter.export(points) is not MetricExportResult.SUCCESS
            said = f"{type(exporter).__name__} has failed"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the exporter's
            failed, said = True, f"{type(error).__name__}: {error}"
        if not failed:
            self._failing.discard(name)
        elif name not in self._failing:  # once, not every minute
            self._failing.add(name)
            _log.error("metrics-not-exported", exporter=name, error=said)


def _in_thread(work: Callable[[], None]) -> Future[None]:
    """Do it in a thread that no end of the process waits for."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        finally:
            done.set_result(None)

    threading.Thread(target=run, name="metrics", daemon=True).start()
    return done


def _otlp(to: Otlp) -> MetricExporter:
    # Each brings a client of its own; one of them is enough.
    if to.protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc

        return OverGrpc(
            endpoint=to.endpoint,
            insecure=to.insecure,
            credentials=None
            if to.insecure
            else grpc.ssl_channel_credentials(*(None if file is None else file.read_bytes() for file in _files(to))),
            headers=list(to.headers),
            timeout=to.timeout,
            compression=grpc.Compression.Gzip if to.gzip else grpc.Compression.NoCompression,
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp

    authorities, key, certificate = (None if file is None else str(file) for file in _files(to))
    return OverHttp(
        endpoint=to.endpoint,
        certificate_file=authorities,
        client_key_file=key,
        client_certificate_file=certificate,
        headers=dict(to.headers),
        timeout=to.timeout,
        compression=Compression.Gzip if to.gzip else Compression.NoCompression,
    )


def _files(to: Otlp) -> tuple[Path | None, Path | None, Path | None]:
    return to.authorities, to.key, to.certificate


def _loaded(name: str) -> MetricExporter:
    for entry in entry_points(group=_GROUP, name=name):
        try:
            made = entry.load()()
        except Exception as error:
            raise ConfigurationError(
                f"OTEL_METRICS_EXPORTER: can't make `{name}`: {type(error).__name__}: {error}"
            ) from error
        if isinstance(made, MetricExporter):
            return made
        raise ConfigurationError(f"OTEL_METRICS_EXPORTER: `{name}` is no exporter of metrics")
    known = sorted({"none", "otlp", "prometheus", *(entry.name for entry in entry_points(group=_GROUP))})
    raise ConfigurationError(f"OTEL_METRICS_EXPORTER: unknown exporter `{name}`; known: {', '.join(known)}")
