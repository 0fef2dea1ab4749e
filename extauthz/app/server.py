"""The running server: starts the parts in order, reloads on an order and on news, stops in order when it is told to.

Nothing listens before the policies are good: an error at start ends it with the place of the error. Who gives the
orders, and what carries the Checks, is handed in: it is the same server in a process of its own and inside of an Envoy.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import structlog
from msgspec import structs
from starlette.applications import Starlette
from starlette.routing import Route

from extauthz import __version__
from extauthz.app.approvers import Approvers
from extauthz.app.bundles import Bundles
from extauthz.app.compiled import is_compiled
from extauthz.app.events import make_events
from extauthz.app.inbound import Inbound
from extauthz.app.informants import Informants
from extauthz.app.key_following import KeyFollower, fingerprint_of
from extauthz.app.listening import WebServer
from extauthz.app.local_facts import LocalFacts
from extauthz.app.open_files import open_many
from extauthz.app.orders import Orders
from extauthz.app.providers import Providers
from extauthz.app.recording import Recording
from extauthz.app.reload import Reloader, Status, first_ruling
from extauthz.app.watching import Fingerprint, Watched, changes
from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.approval.persons import Persons
from extauthz.check.activity import Activities
from extauthz.check.checker import Checker
from extauthz.check.devices import Devices
from extauthz.check.event_posting import Posting
from extauthz.check.habits import Habits
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.store_watch import StoreWatch
from extauthz.check.surroundings import Surroundings
from extauthz.errors import ExtauthzError, StateUnavailable
from extauthz.lookup.attributes.sources import AttributeSources
from extauthz.lookup.key_sets import Standing
from extauthz.record.chronicle import Chronicle
from extauthz.record.metric_export import open_metric_export
from extauthz.settings import Settings
from extauthz.transport.calls import Transport
from extauthz.values.grants import Facts
from extauthz.web.metrics import Metrics
from extauthz.web.offers import Means
from extauthz.web.pages import create_app
from extauthz.web.probes import Readiness, create_probes

GRACE = 10.0
"""Seconds that calls on their way are given on shutdown."""

_log = structlog.get_logger(__name__)


Carry = Callable[[Checker], Transport]
"""Makes what carries Checks to a checker. Called on the event loop that the server is on."""


async def run(settings: Settings, environ: Mapping[str, str], *, carry: Carry, orders: Orders) -> None:
    """Serve until ordered to stop.

    Raises:
        ExtauthzError: it can't start; nothing is left running.
    """
    open_many()
    readiness, metrics = Readiness(), Metrics()
    exports = open_metric_export(environ, lambda: metrics.families().collect(), version=__version__)
    bundles = Bundles(settings, metrics.fetched)
    watched = Watched(
        policies=settings.policy_paths, files=(*settings.identity_files, *settings.request_files, *bundles.files)
    )
    seen = watched.fingerprint()  # before anything is read, so that no change is missed
    ruling, versions = await first_ruling(settings, bundles)
    keys_seen = fingerprint_of(settings.keys_path)
    keys = load_keys(settings)
    local_facts = LocalFacts(settings)
    metrics.follow_local(lambda: local_facts.standings)
    informants = Informants(settings.identity, base=settings.base)
    providers = Providers(settings.stepup.oidc, base=settings.base)
    sources = AttributeSources(settings.attributes, base=settings.base)
    metrics.follow_attributes(lambda: sources.standings)
    store = open_configured_store(settings)
    revocations = RevocationFeed(store, max_staleness=settings.revocations.max_staleness)
    posting = Posting(store, (one.name for one in settings.events.webhooks), clock=time.time)
    events = make_events(settings, posting.take)
    recording = Recording(settings, environ, keys, events=events)
    chronicle = Chronicle(recorder=recording.recorder, clock=time.time_ns, tallies=recording.tallies)
    with ExitStack() as unless_started:
        unless_started.callback(recording.close)
        inbound = Inbound(settings, environ, store=store, feed=revocations, metrics=metrics, chronicle=chronicle)
        approvers = Approvers(
            settings,
            environ,
            store=store,
            keys=keys,
            revocations=revocations,
            metrics=metrics,
            chronicle=chronicle,
        )
        unless_started.pop_all()
    key_follower = KeyFollower(settings.keys_path, keys, chronicle)

    def key_standings() -> Mapping[str, Standing]:
        return {**informants.keys.standings, **inbound.standings, **approvers.standings}

    metrics.follow_keys(key_standings)
    readiness.follow_keys(key_standings)
    metrics.follow_revocations(lambda: revocations.standing)
    readiness.follow_revocations(lambda: revocations.standing)
    watch = StoreWatch(store)
    metrics.follow_store(lambda: watch.standing)
    readiness.follow_store(lambda: watch.standing)
    activities = Activities(store, touch_every=settings.sessions.touch_every, keep=settings.sessions.keep)
    metrics.follow_activity(lambda: activities.counts)
    habits = Habits(store)
    metrics.follow_habits(lambda: habits.counts)
    heads = recording.heads(store, settings.audit)
    try:
        recording.tell(metrics)
        if events is not None:
            metrics.follow_events(lambda: posting.counts, lambda: events.folded)
        surroundings = Surroundings(
            clock=time.time_ns,
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=store,
            keys=keys,
            tallies=recording.tallies,
            recorder=recording.recorder,
            spans=recording.spans,
            inquiries=informants.inquiries,
            revocations=revocations,
            activities=activities,
            sources=sources,
            habits=habits,
            approving=approvers.approving,
        )
        await sources.open()
        await watch.start()
        with suppress(StateUnavailable):  # then everybody whom one could have revoked is denied until it is there
            await revocations.load()
        devices = Devices.of(
            settings.devices,
            keys=keys,
            store=store,
            entropy=os.urandom,
            revocations=revocations,
            chronicle=chronicle,
        )
        requesters = Persons(settings.approvals.persons).requesters
        known = structs.replace(
            local_facts.local, device=devices.of_request, reported=revocations, requesters=requesters
        )
        checker = Checker(replace(ruling, facts=Facts(local=known)), surroundings)
        transport = carry(checker)
        metrics.follow_refusals(transport.name, lambda: transport.refusals.counts)
        if transport.callers is not None:
            callers = transport.callers
            metrics.follow_callers(transport.name, lambda: callers.refused)
        informants.serve(checker)
        approvers.serve(checker)
        status = Status(readiness, metrics, chronicle, orders.in_force)
        reloader = Reloader(settings, checker, bundles, informants.keys, status)
        server = _Server(
            settings,
            transport,
            orders,
            checker,
            surroundings,
            devices,
            Means(relying_party=settings.stepup.webauthn, providers=providers.by_issuer),
            readiness,
            create_probes(readiness, metrics, inbound.admin),
            inbound.web,
            approvers,
            reloader,
            (informants.hurry, key_follower.hurry, inbound.hurry, local_facts.hurry, approvers.hurry),
        )
        status.in_force(ruling, versions)
        del ruling  # or what is replaced would never go
        await server.serve(
            bundles.follow(reloader.request),
            informants.follow(),
            revocations.follow(),
            watch.follow(),
            activities.follow(),
            habits.follow(),
            *([] if heads is None else [heads.follow()]),
            *([] if events is None else [posting.follow()]),
            key_follower.follow(),
            local_facts.follow(watch=settings.reload.watch),
            inbound.follow(),
            *([] if exports is None else [exports.follow()]),
            *approvers.following(watch=settings.reload.watch),
            *(
                [_reload_on_change(reloader, watched, seen), key_follower.watch(keys_seen), inbound.watch()]
                if settings.reload.watch
                else []
            ),
        )
    finally:
        await asyncio.to_thread(recording.close)
        await posting.finish()
        if heads is not None:
            await heads.tell()
        if exports is not None:
            await exports.close()
        await informants.close()
        await sources.close()
        await inbound.close()
        await approvers.close()
        await providers.close()
        await activities.close()
        await habits.close()
        await store.close()


async def _reload_on_change(reloader: Reloader, watched: Watched, seen: Fingerprint) -> None:
    async for _ in changes(watched, seen):
        reloader.request()


class _Server:
    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        orders: Orders,
        checker: Checker,
        surroundings: Surroundings,
        devices: Devices,
        means: Means,
        readiness: Readiness,
        probes: Starlette,
        pushed: Sequence[Route],
        approvers: Approvers,
        reloader: Reloader,
        hurried: Sequence[Callable[[], None]],
    ) -> None:
        self._checker = checker
        self._readiness = readiness
        self._approvers = approvers
        self._reloader = reloader
        self._hurried = hurried
        self._stopping = asyncio.Event()
        self._transport = transport
        self._orders = orders
        pages = create_app(
            store=surroundings.store,
            keys=surroundings.keys,
            client=settings.client,
            clock=time.time,
            entropy=os.urandom,
            means=means,
            revocations=surroundings.revocations,
            pushed=pushed,
            devices=devices,
            waiting=approvers.waiting,
            chronicle=surroundings.chronicle,
        )
        listen, sockets = settings.listen, settings.listen.made_sockets
        with ExitStack() as bound:
            self._web = WebServer(pages, address=listen.web, key="listen.web", sockets=sockets)
            bound.callback(self._web.close)
            self._admin = WebServer(probes, address=listen.admin, key="listen.admin", sockets=sockets)
            bound.callback(self._admin.close)
            approvers.bind()
            bound.callback(approvers.release)
            self._servers = (self._web, self._admin, *approvers.servers)
            self._addresses = bound.pop_all()

    async def serve(self, *following: Coroutine[Any, Any, None]) -> None:
        """Serve until told to stop; `following` bring news meanwhile, and also before calls may be answered."""
        news = [asyncio.create_task(one) for one in following]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            self._orders.obey(stop=self._stopping.set, reload=self._read_again)
            beginning = asyncio.create_task(self._orders.begin())
            await asyncio.wait((stopping, beginning), return_when=asyncio.FIRST_COMPLETED)
            beginning.cancel()
            if not self._stopping.is_set():
                await self._answer(stopping, news)
        finally:
            for task in (stopping, *news):
                task.cancel()
            await self._reloader.stop()
            self._addresses.close()

    async def _answer(self, stopping: asyncio.Task[bool], news: Sequence[asyncio.Task[None]]) -> None:
        await self._approvers.start()
        try:
            await self._transport.start()
        except ExtauthzError:
            await self._approvers.stop()
            raise
        serving = [asyncio.create_task(server.serve()) for server in self._servers]
        self._report_ready()
        # A page server that ends by itself would leave challenges without a page: stop, and be started again.
        await asyncio.wait((stopping, *serving), return_when=asyncio.FIRST_COMPLETED)
        for task in news:
            task.cancel()
        await self._stop(serving)

    def _read_again(self) -> None:
        self._reloader.request()
        for hurry in self._hurried:
            hurry()

    def _report_ready(self) -> None:
        self._orders.serving(self._transport.address)
        _log.info(
            "serving",
            grpc=self._transport.address,
            web=self._web.address,
            admin=self._admin.address,
            **self._approvers.addresses,
            revision=self._checker.ruling.policies.revision,
            compiled=is_compiled(),
        )

    async def _stop(self, serving: list[asyncio.Task[None]]) -> None:
        """Stop in the order that answers every call: health first, then the calls, then the pages."""
        self._readiness.stopping()
        self._transport.drain()
        self._approvers.let_go()
        await self._transport.stop(GRACE)
        await self._reloader.stop()
        for server in self._servers:
            server.stop()
        await self._approvers.stop()
        await asyncio.gather(*serving)
        _log.info("stopped")
