"""The running server: starts the parts in order, reloads on SIGHUP, stops in order on SIGTERM and SIGINT.

Nothing listens before the policies are good: an error at start ends it with the place of the error. A reload that
fails changes nothing.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping

import structlog
from opentelemetry.sdk.trace import TracerProvider

from extauthz import __version__
from extauthz.app.listening import WebServer
from extauthz.app.wiring import load_keys, make_ruling, open_audit, open_configured_store
from extauthz.check.checker import Checker, Ruling, Surroundings
from extauthz.errors import ExtauthzError
from extauthz.record.audit_file import AuditFile
from extauthz.record.decision import NoRecorder, Recorder
from extauthz.record.provider import tracer_provider
from extauthz.record.spans import SpanRecorder
from extauthz.settings import Settings
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.web.pages import create_app
from extauthz.web.probes import Readiness, create_probes

GRACE = 10.0
"""Seconds that calls on their way are given on shutdown."""

_log = structlog.get_logger(__name__)


async def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ExtauthzError: it can't start; nothing is left running.
    """
    ruling = make_ruling(settings)
    keys = load_keys(settings)
    provider = tracer_provider(environ, version=__version__)
    store = open_configured_store(settings)
    audit: AuditFile | None = None
    try:
        audit = open_audit(settings)
        surroundings = Surroundings(
            clock=time.time_ns,
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=store,
            keys=keys,
            recorder=_recorder(provider),
            audit=audit,
            accept=settings.paths.accept,
        )
        await store.ping()
        await _Server(settings, Checker(ruling, surroundings), surroundings).serve()
    finally:
        if audit is not None:
            await asyncio.to_thread(audit.close)
        await store.close()
        if provider is not None:
            await asyncio.to_thread(provider.shutdown)


def _recorder(provider: TracerProvider | None) -> Recorder:
    return NoRecorder() if provider is None else SpanRecorder(provider.get_tracer("extauthz", __version__))


class _Server:
    def __init__(self, settings: Settings, checker: Checker, surroundings: Surroundings) -> None:
        self._settings = settings
        self._checker = checker
        self._readiness = Readiness()
        self._stopping = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._transport = GrpcioTransport(checker, asyncio.get_running_loop(), address=settings.listen.grpc)
        pages = create_app(
            store=surroundings.store,
            keys=surroundings.keys,
            client=settings.client,
            clock=time.time,
            entropy=os.urandom,
        )
        self._web = WebServer(pages, address=settings.listen.web, key="listen.web")
        try:
            probes = create_probes(self._readiness)
            self._admin = WebServer(probes, address=settings.listen.admin, key="listen.admin")
        except ExtauthzError:
            self._web.close()
            raise

    async def serve(self) -> None:
        try:
            self._transport.start()
            self._handle_signals()
            serving = [asyncio.create_task(server.serve()) for server in (self._web, self._admin)]
            self._report_ready()
            stopping = asyncio.create_task(self._stopping.wait())
            # A page server that ends by itself would leave challenges without a page: stop, and be started again.
            await asyncio.wait((stopping, *serving), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await self._stop(serving)
        finally:
            self._web.close()
            self._admin.close()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._begin_reload)

    def _report_ready(self) -> None:
        revision = self._checker.ruling.policies.revision
        self._readiness.ready(revision)
        _log.info(
            "serving",
            grpc=self._transport.address,
            web=self._web.address,
            admin=self._admin.address,
            revision=revision,
        )

    def _begin_reload(self) -> None:
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        """Compile what the files say now, off the path of requests, and swap it in whole; or keep what is there."""
        try:
            ruling: Ruling = await asyncio.to_thread(make_ruling, self._settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, the policies in force stay in force
            known = isinstance(error, ExtauthzError)
            _log.error("reload-refused", error=str(error), exc_info=None if known else error)
            self._readiness.reload_failed(str(error))
            return
        self._checker.swap(ruling)
        self._readiness.ready(ruling.policies.revision)
        _log.info("reloaded", revision=ruling.policies.revision)

    async def _stop(self, serving: list[asyncio.Task[None]]) -> None:
        """Stop in the order that answers every call: health first, then the calls, then the pages."""
        self._readiness.stopping()
        self._transport.drain()
        ended = self._transport.stop(GRACE)
        await asyncio.to_thread(ended.wait)
        for server in (self._web, self._admin):
            server.stop()
        await asyncio.gather(*serving)
        _log.info("stopped")
