"""The APIs by which approvals are answered: whose tokens they take, and where they are served.

The rules: without `approvals.tokens` there are none. Keys that can't be used end a start; later they change nothing,
and what was good before stays.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from starlette.routing import Route

from extauthz.app.watching import Fingerprint, Watched, changes
from extauthz.approval.persons import Persons
from extauthz.check.approval_absences import Absences
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approval_viewing import Viewing
from extauthz.check.approvals import Approvals
from extauthz.check.approver_codes import Codes
from extauthz.check.approver_identity import ApproverTokens
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import ConfigurationError
from extauthz.files import read_text
from extauthz.identity.approver_config import ApproverTokensSettings
from extauthz.identity.key_config import KeyFile
from extauthz.lookup.key_sets import KeySets, Standing
from extauthz.settings import Settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.protocol import Store
from extauthz.transport.tls import Tls, tls_of
from extauthz.web.approval_api import ApprovalApi
from extauthz.web.approval_door import Door
from extauthz.web.approval_watch import Watches

_log = structlog.get_logger(__name__)


class _Server(Protocol):
    """What serves gRPC."""

    @property
    def address(self) -> str:
        """Where it listens."""

    async def start(self) -> None:
        """Listen. Raises `ConfigurationError`."""

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those on their way `grace` seconds."""


class ApprovalApis:
    """The APIs that `settings` ask for, which write by `approvals` what is kept in `store`. Belongs to one event loop.

    Raises `ConfigurationError` for keys that can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: ApproverTokensSettings,
        *,
        approvals: Approvals,
        news: ApprovalNews,
        store: Store,
        keys: KeyRing,
        revocations: RevocationFeed,
    ) -> None:
        self._source = tokens.keys
        place = self._source.place
        self._file = settings.base / place.path if isinstance(place, KeyFile) else None
        self._watched = Watched(policies=(), files=() if self._file is None else (self._file,))
        self.seen: Fingerprint = self._watched.fingerprint()
        """The state of the file with keys before it was read."""
        self._keys = KeySets((self._source,), base=settings.base)
        self._tokens = ApproverTokens(
            tokens,
            jwks=None if self._file is None else read_text(self._file, "approvers' keys"),
            ask=self._keys.ask,
            persons=Persons(settings.approvals.persons),
            claims=settings.approvals.claims,
            revocations=revocations,
            clock=approvals.clock,
        )
        self._keys.subscribe(self._tokens.take)
        door = Door(
            approvals=approvals,
            viewing=Viewing(approvals=approvals),
            absences=Absences(approvals=approvals),
            tokens=self._tokens,
            codes=Codes(
                store=store,
                keys=keys,
                clock=approvals.clock,
                entropy=approvals.entropy,
                chronicle=approvals.chronicle,
            ),
            url=settings.approvals.url,
            issuer=_only_issuer(settings),
        )
        watches = Watches(door, news)
        self.routes: Sequence[Route] = ApprovalApi(door, watches).routes
        """What is served beside the pages of approvers."""
        self._rpc = _rpc_server(settings, door, watches)

    @property
    def address(self) -> str | None:
        """Where gRPC is served, `None` if it is not."""
        return None if self._rpc is None else self._rpc.address

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How it stands with the keys, if they are fetched."""
        return self._keys.standings

    async def start(self) -> None:
        """Serve gRPC, if that is wanted. Raises `ConfigurationError` for an address or a certificate."""
        if self._rpc is not None:
            await self._rpc.start()

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those on their way `grace` seconds."""
        if self._rpc is not None:
            await self._rpc.stop(grace)

    def hurry(self) -> None:
        """Read or ask for the keys now."""
        self._keys.hurry()
        self._read_again()

    async def follow(self) -> None:
        """Keep what is fetched new, for ever."""
        await self._keys.follow()

    async def watch(self) -> None:
        """Read the file with keys whenever it changes, for ever."""
        async for _ in changes(self._watched, self.seen):
            await asyncio.to_thread(self._read_again)

    async def close(self) -> None:
        """End what runs, and close the connections."""
        await self._keys.close()

    def _read_again(self) -> None:
        if self._file is None:
            return
        try:
            keys = self._source.read(read_text(self._file, "approvers' keys"), setting=f"{self._source.name}.jwks")
        except ConfigurationError as error:
            _log.error("approvers-keys-refused", error=str(error))
        else:
            self._tokens.take(self._source.name, keys)


def _rpc_server(settings: Settings, door: Door, watches: Watches) -> _Server | None:
    listen = settings.listen
    if listen.approvals_grpc is None:
        return None
    # gRPC's library is slow to import, and the `pyvoy` transport does without it.
    from extauthz.transport.rpc_server import RpcServer
    from extauthz.web.approval_rpc import SERVICE, ApprovalsRpc

    tls: Tls | None = None
    if listen.approvals_tls is not None:
        tls = tls_of(listen.approvals_tls, setting="listen.approvals_tls", base=settings.base)
    callers = None if tls is None else tls.callers
    handlers = (ApprovalsRpc(door, watches, admits=lambda call: callers is None or callers.knows(call.auth_context())),)
    return RpcServer(
        handlers,
        service=SERVICE,
        address=listen.approvals_grpc,
        key="listen.approvals_grpc",
        tls=tls,
        sockets=listen.made_sockets,
    )


def _only_issuer(settings: Settings) -> str | None:
    issuers = {source.issuer for source in settings.identity.users}
    return issuers.pop() if len(issuers) == 1 else None
