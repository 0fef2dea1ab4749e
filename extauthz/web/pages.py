"""The pages under `/.extauthz/` (design section 4): which address is whose, and what is shown where there is no page.

The rule: Envoy serves them on the application's own origin with ext_authz switched off there, so nobody has looked at
these requests before; whatever goes wrong ends in a page of ours that tells nothing of it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauthz.check.devices import Devices
from extauthz.check.enrolling import Enrolling
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.seating import Seating
from extauthz.check.waiting import Waiting
from extauthz.errors import IssuerUnavailable, StateUnavailable, SubjectBlocked, TokenRevoked
from extauthz.identity.config import ClientSettings
from extauthz.policy.device_config import DeviceSettings
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.stepup.enrolment import ENROL_PATH
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.oidc import CALLBACK_PATH
from extauthz.stepup.ticket import Ticket
from extauthz.store.protocol import Store
from extauthz.web import notices
from extauthz.web.challenge_page import ChallengePage
from extauthz.web.enrolment import EnrolmentPages
from extauthz.web.enrolment_entry import Entry
from extauthz.web.enrolment_forms import EnrolmentForms
from extauthz.web.gate import Gate, TurnedAway
from extauthz.web.login import Login
from extauthz.web.notices import Notice
from extauthz.web.offers import Means
from extauthz.web.proofs import DONE_PATH, Proofs
from extauthz.web.rendering import Pages
from extauthz.web.waiting import WaitingPages

_RETRY_SECONDS: Final = "5"
_NO_MEANS: Final = Means()

_log = structlog.get_logger(__name__)


def create_app(
    *,
    store: Store,
    keys: KeyRing,
    client: ClientSettings,
    clock: Callable[[], float],
    entropy: Callable[[int], bytes],
    means: Means = _NO_MEANS,
    revocations: RevocationFeed | None = None,
    pushed: Sequence[Route] = (),
    devices: Devices | None = None,
    waiting: Waiting | None = None,
    chronicle: Chronicle = SILENT,
) -> Starlette:
    """The application. `clock()` is seconds since the epoch, `entropy(n)` n random bytes; `revocations` is `None` where
    nobody can revoke anything, `devices` where they are known as without a configuration. `pushed` is what is served
    for other machines beside the pages. `waiting` is `None` where nobody can be asked for approvals. What happens is
    told in the `chronicle`.
    """
    pages = Pages()
    gate = Gate(keys=keys, clock=clock, revocations=revocations)
    if devices is None:
        devices = Devices.of(
            DeviceSettings(), keys=keys, store=store, entropy=entropy, revocations=revocations, chronicle=chronicle
        )
    proofs = Proofs(
        store=store,
        keys=keys,
        client=client,
        clock=clock,
        entropy=entropy,
        pages=pages,
        devices=devices,
        chronicle=chronicle,
    )
    seating = Seating(store=store, keys=keys, clock=clock, entropy=entropy, chronicle=chronicle)
    enrolling = Enrolling(seating=seating)
    forms = EnrolmentForms(seating=seating, enrolling=enrolling, pages=pages)
    entry = Entry(gate=gate, seating=seating, means=means, forms=forms)
    login = Login(gate=gate, proofs=proofs, means=means, entry=entry)
    challenge = ChallengePage(gate=gate, proofs=proofs, means=means, login=login, entry=entry, pages=pages)
    enrolment = EnrolmentPages(
        gate=gate,
        entry=entry,
        login=login,
        seating=seating,
        enrolling=enrolling,
        means=means,
        client=client,
        forms=forms,
    )
    rest = _Rest(pages=pages)
    held: list[Route] = []
    if waiting is not None:
        held = WaitingPages(
            gate=gate, waiting=waiting, keys=keys, clock=clock, entropy=entropy, pages=pages, chronicle=chronicle
        ).routes
    app = Starlette(
        routes=[
            Route(CHALLENGE_PATH, challenge.serve, methods=["GET", "POST"]),
            Route(CALLBACK_PATH, login.come_back, methods=["GET"]),
            Route(ENROL_PATH, enrolment.serve, methods=["GET", "POST"]),
            Route(DONE_PATH, rest.done, methods=["GET"]),
            *held,
            *pushed,
        ],
        exception_handlers={
            TurnedAway: rest.turn_away,
            HTTPException: rest.refuse_status,
            StateUnavailable: rest.refuse_without_store,
            IssuerUnavailable: rest.refuse_without_provider,
            SubjectBlocked: rest.refuse_revoked,
            TokenRevoked: rest.refuse_revoked,
            Exception: rest.refuse_after_failure,
        },
    )
    # A redirect to the same path with a slash would be built from the Host header.
    app.router.redirect_slashes = False
    return app


class _Rest(msgspec.Struct, frozen=True, kw_only=True):
    pages: Pages

    async def done(self, _: Request) -> Response:
        """GET: the end of a window that a script has opened. It says nothing of anybody."""
        return self.pages.render("done.html", status=200, values={}, script="done")

    async def turn_away(self, _: Request, error: Exception) -> Response:
        """Who may not use the page, and why."""
        assert isinstance(error, TurnedAway)  # noqa: S101 - it is called for nothing else
        return self._notice(error.notice, error.ticket)

    async def refuse_status(self, _: Request, error: Exception) -> Response:
        """What has no page, or is not read."""
        status = error.status_code if isinstance(error, HTTPException) else notices.FAILED.status
        allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
        headers = {"allow": ", ".join(sorted(allowed.split(", ")))} if allowed else {}
        return self._notice(notices.BY_STATUS.get(status, notices.FAILED), headers=headers)

    async def refuse_without_store(self, _: Request, error: Exception) -> Response:
        """The store is out of reach."""
        _log.error("state-unavailable", error=str(error))
        return self._notice(notices.UNAVAILABLE, headers={"retry-after": _RETRY_SECONDS})

    async def refuse_without_provider(self, _: Request, error: Exception) -> Response:
        """The provider is out of reach."""
        _log.error("issuer-unavailable", error=str(error))
        return self._notice(notices.PROVIDER_AWAY, headers={"retry-after": _RETRY_SECONDS})

    async def refuse_revoked(self, _: Request, error: Exception) -> Response:
        """Who was blocked or signed out while their proof was on its way."""
        _log.warning("revoked", error=str(error))
        return self._notice(notices.BLOCKED if isinstance(error, SubjectBlocked) else notices.SIGNED_OUT)

    async def refuse_after_failure(self, _: Request, error: Exception) -> Response:
        """A mistake of ours."""
        _log.error("page-failed", exc_info=error)
        return self._notice(notices.FAILED)

    def _notice(
        self, notice: Notice, ticket: Ticket | None = None, *, headers: dict[str, str] | None = None
    ) -> Response:
        again = ticket.return_path if ticket is not None and notice.again else None
        return self.pages.render(
            "notice.html",
            status=notice.status,
            values={"notice": notice, "again": again},
            headers=headers if headers is not None else {},
        )
