"""What others may send here beside Checks: security event tokens, and orders of operators.

The rule: it is served only where the configuration says who may send it. What can't be used ends a start; later it
changes nothing, and what was good before stays.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from starlette.routing import Route

from extauthz.app.secrets import read_place
from extauthz.app.transmitters import Transmitters
from extauthz.app.watching import Fingerprint, Watched, changes
from extauthz.check.reception import Reception
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.subjects import ByHand
from extauthz.errors import ConfigurationError
from extauthz.lookup.key_sets import Standing
from extauthz.record.chronicle import ADMIN, Chronicle
from extauthz.settings import Settings
from extauthz.store.protocol import Store
from extauthz.web.metrics import Metrics
from extauthz.web.signals import signal_routes
from extauthz.web.subjects import SubjectsApi, naming

_log = structlog.get_logger(__name__)


class Inbound:
    """What `settings` let in; what comes is done in `store`, and `feed` knows it at once. Belongs to one event loop.

    Raises `ConfigurationError` for files and variables that can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        store: Store,
        feed: RevocationFeed,
        metrics: Metrics,
        chronicle: Chronicle,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._token = ""
        self._transmitters = Transmitters(settings.signals, base=settings.base, environ=environ)
        token = settings.admin.token
        files = () if token is None or token.file is None else (settings.base / token.file,)
        self._watched = Watched(policies=(), files=(*self._transmitters.files, *files))
        self.seen: Fingerprint = self._watched.fingerprint()
        """The state of the files before any was read."""
        self._read()
        reception = Reception(
            settings.signals.transmitters,
            keys=self._transmitters,
            secrets=self._transmitters.secret,
            store=store,
            feed=feed,
            clock=time.time,
            chronicle=chronicle,
        )
        pushed = signal_routes(reception) if settings.signals.transmitters else []
        if pushed:
            metrics.follow_reception(lambda: reception.counts)
        by_hand = ByHand(
            store=store,
            naming=naming({source.issuer for source in settings.identity.users}),
            clock=time.time,
            chronicle=chronicle,
            by=ADMIN,
        )
        api = [] if token is None else SubjectsApi(by_hand, secret=lambda: self._token, feed=feed).routes
        on_web = settings.signals.listener == "web"
        self.web: Sequence[Route] = pushed if on_web else ()
        """What is served beside the pages."""
        self.admin: Sequence[Route] = api if on_web else (*api, *pushed)
        """What is served beside the probes."""

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How it stands with the keys that are fetched, by the name of their source."""
        return self._transmitters.keys.standings

    def hurry(self) -> None:
        """Read and ask for everything now."""
        self._transmitters.keys.hurry()
        self._read_again()

    async def follow(self) -> None:
        """Keep what is fetched new, for ever."""
        await self._transmitters.keys.follow()

    async def watch(self) -> None:
        """Read the files whenever they change, for ever."""
        async for _ in changes(self._watched, self.seen):
            await asyncio.to_thread(self._read_again)

    async def close(self) -> None:
        """End what runs, and close the connections."""
        await self._transmitters.keys.close()

    def _read_again(self) -> None:
        try:
            self._read()
        except ConfigurationError as error:
            _log.error("inbound-refused", error=str(error))
        else:
            _log.info("inbound-read")

    def _read(self) -> None:
        self._transmitters.read()
        token = self._settings.admin.token
        if token is not None:
            self._token = read_place(token, setting="admin.token", base=self._settings.base, environ=self._environ)
