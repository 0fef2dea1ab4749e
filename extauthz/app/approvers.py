"""Everything about approvals that runs in a server: asking, holding, answering, telling, and the approvers' address.

The rules: approvals are kept and expire whoever can answer them. The approvers' address is listened on where the
configuration says how they come: `approvals.url` for pages, `approvals.tokens` for programs. What answers them is
imported for a server that does.
"""

import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from extauthz.app.decision_index import DecisionIndex
from extauthz.app.listening import WebServer
from extauthz.app.tellers import addressees_of, make_deliveries
from extauthz.approval.persons import Persons
from extauthz.approval.schedule_config import schedules
from extauthz.approval.terms import Terms
from extauthz.check.approval_clerk import Clerk
from extauthz.check.approval_news import ApprovalNews
from extauthz.check.approvals import Approvals
from extauthz.check.approving import Approving
from extauthz.check.checker import Checker
from extauthz.check.holding import Holding
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.waiting import Waiting
from extauthz.identity.approver_config import ApproverTokensSettings
from extauthz.lookup.key_sets import Standing
from extauthz.lookup.oidc import OidcClient
from extauthz.policy.approving import terms_of
from extauthz.record.chronicle import Chronicle
from extauthz.record.masking import Keep
from extauthz.settings import Settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.protocol import Store
from extauthz.web.metrics import Metrics

if TYPE_CHECKING:
    from extauthz.app.approval_apis import ApprovalApis
    from extauthz.web.decisions.looking import Looking

_STREAMS: Final = 1.0
"""Seconds that calls of gRPC are given at the end: those that watch would never end by themselves."""


class Approvers:
    """Approvals under `settings`, kept in `store`. Belongs to one event loop.

    Raises `ConfigurationError` for files and variables that can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        store: Store,
        keys: KeyRing,
        revocations: RevocationFeed,
        metrics: Metrics,
        chronicle: Chronicle,
    ) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._revocations = revocations
        self._checker: Checker | None = None
        self._news = ApprovalNews(store)
        self._approvals = Approvals(
            store=store,
            terms_of=self._terms_of,
            clock=time.time,
            entropy=os.urandom,
            keep=settings.approvals.keep,
            most_open=settings.approvals.most_open,
            schedules=schedules(settings.approvals.schedules),
            addressees=addressees_of(settings),
            revocations=revocations,
            chronicle=chronicle,
        )
        self._holding = Holding(store, self._news, settings.approvals.holding)
        audit = settings.audit
        self.approving = Approving(
            self._approvals,
            self._holding,
            store,
            keep=Keep() if audit is None else Keep.of(audit.keep),
            entropy=os.urandom,
        )
        """What a checker asks for approvals with."""
        self.waiting = Waiting(approvals=self._approvals, news=self._news, store=store, clock=time.time)
        """What the page asks on which somebody waits."""
        self._deliveries = make_deliveries(settings, environ, store=store)
        metrics.follow_holding(lambda: self._holding.counts)
        metrics.follow_deliveries(lambda: self._deliveries.standings)
        login = settings.approvals.login
        self._client = None if login is None else OidcClient(login, base=settings.base)
        tokens = settings.approvals.tokens
        self._apis = None if tokens is None else self._opened(tokens)
        self._web: WebServer | None = None

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How it stands with the keys of approvers' tokens, if they are fetched."""
        return {} if self._apis is None else self._apis.standings

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where approvers are served, by the setting."""
        web = {} if self._web is None else {"approvals": self._web.address}
        rpc = None if self._apis is None else self._apis.address
        return web if rpc is None else {**web, "approvals_grpc": rpc}

    def serve(self, checker: Checker) -> None:
        """Count answers by the policies that `checker` has in force."""
        self._checker = checker

    def bind(self) -> None:
        """Take the approvers' address, if there is something for them. Raises `ConfigurationError`."""
        application = self._application()
        if application is not None:
            listen = self._settings.listen
            self._web = WebServer(
                application, address=listen.approvals, key="listen.approvals", sockets=listen.made_sockets
            )

    @property
    def servers(self) -> Sequence[WebServer]:
        """What is to be served on the addresses that were taken."""
        return () if self._web is None else (self._web,)

    async def start(self) -> None:
        """Serve gRPC, if that is wanted. Raises `ConfigurationError` for its address."""
        if self._apis is not None:
            await self._apis.start()

    def let_go(self) -> None:
        """Answer all calls that are held, and hold none any more."""
        self._holding.close()

    async def stop(self) -> None:
        """Take no new calls of gRPC, and finish those on their way."""
        if self._apis is not None:
            await self._apis.stop(_STREAMS)

    def hurry(self) -> None:
        """Read and ask for everything now, and try again to tell whoever could not be told."""
        self._deliveries.hurry()
        if self._apis is not None:
            self._apis.hurry()

    def following(self, *, watch: bool) -> list[Coroutine[Any, Any, None]]:
        """What runs for ever; `watch`: files are read when they change."""
        work = [self._news.follow(), Clerk(approvals=self._approvals).follow(), self._deliveries.follow(self._news)]
        if self._apis is not None:
            work.append(self._apis.follow())
            if watch:
                work.append(self._apis.watch())
        settings, audit = self._settings, self._settings.audit
        if settings.decisions is not None and audit is not None:
            work.append(DecisionIndex(settings.base / audit.path, settings.base / settings.decisions.index).follow())
        return work

    def release(self) -> None:
        """Release the address."""
        if self._web is not None:
            self._web.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._apis is not None:
            await self._apis.close()
        if self._client is not None:
            await self._client.close()

    def _terms_of(self, rule: str, now: float) -> Terms | None:
        return None if self._checker is None else terms_of(self._checker.ruling.policies, rule, now=now)

    def _opened(self, tokens: ApproverTokensSettings) -> "ApprovalApis":
        """The APIs for programs that bring such `tokens`."""
        from extauthz.app.approval_apis import ApprovalApis

        return ApprovalApis(
            self._settings,
            tokens,
            approvals=self._approvals,
            news=self._news,
            store=self._store,
            keys=self._keys,
            revocations=self._revocations,
        )

    def _looking(self) -> "Looking | None":
        """How operators find decisions, where they may."""
        decisions, audit, base = self._settings.decisions, self._settings.audit, self._settings.base
        if decisions is None or audit is None:
            return None
        from extauthz.history.index import Index
        from extauthz.web.decisions.drafts import Drafts
        from extauthz.web.decisions.looking import Looking

        return Looking(
            index=Index(base / audit.path, base / decisions.index),
            groups=frozenset(decisions.operators.groups),
            trace_url=decisions.trace_url,
            drafts=Drafts(declared=self._settings.declared),
        )

    def _application(self) -> Starlette | None:
        settings, routes = self._settings, () if self._apis is None else self._apis.routes
        url, login = settings.approvals.url, settings.approvals.login
        if url is None and not routes:
            return None
        if url is None:
            from extauthz.web.approvers.elsewhere import Elsewhere

            alone = Elsewhere(url=None, api=True)
            return Starlette(routes=list(routes), exception_handlers={HTTPException: alone.refused})
        from extauthz.web.approvers.app import create_approvers_app
        from extauthz.web.approvers.entry import Provided

        return create_approvers_app(
            url=url,
            approvals=self._approvals,
            news=self._news,
            store=self._store,
            keys=self._keys,
            revocations=self._revocations,
            client=settings.client,
            persons=Persons(settings.approvals.persons),
            claims=settings.approvals.claims,
            clock=time.time,
            entropy=os.urandom,
            provided=None if login is None or self._client is None else Provided(settings=login, client=self._client),
            relying_party=settings.stepup.webauthn,
            beside=routes,
            looking=self._looking(),
        )
