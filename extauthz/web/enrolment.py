"""The page `/.extauthz/enroll` on which somebody sets up and changes second factors.

The rules: opening a link changes nothing, because mail scanners open links; a button of the page takes the seat, and
only the browser that took it goes on. Every form names the seat that it was made for, and only a form that this page
has sent counts. What may be done is `check.enrolling`'s to say.
"""

import hmac
import json
import re
from base64 import b32encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never
from urllib.parse import urlsplit

import segno
import structlog
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.check.enrolling import Change, Enrolling
from extauthz.check.proof.proving import LockedOut
from extauthz.check.seating import Proof, Seated, Seating
from extauthz.identity.config import ClientSettings
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_secret, set_cookie
from extauthz.stepup.enrolment import (
    ENROL_PATH,
    SESSION_INVITATION,
    Invitation,
    Seat,
    invite,
    open_invitation,
    page_of,
    read_seat,
    seat_value,
)
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import InvalidTicket, hash_nonce
from extauthz.stepup.totp import provisioning_uri
from extauthz.stepup.webauthn_answer import NotVerified, WebauthnFailure
from extauthz.values.identity import ENROLMENT_COOKIE, NONCE_COOKIE
from extauthz.values.request import empty
from extauthz.web import notices
from extauthz.web.address import browser_address
from extauthz.web.forms import is_from_own_page, read_form
from extauthz.web.gate import Gate, TurnedAway
from extauthz.web.notices import Notice
from extauthz.web.offers import Means
from extauthz.web.rendering import Pages, Script, duration

APP_NAME: Final = "Authenticator app"
KEY_NAME: Final = "Security key"

_NAME: Final = re.compile(r"\S(?:.{0,62}\S)?")
_WRONG_CODE: Final = "That code is not right. Enter the six digits that your app shows now, without blanks."
_WRONG_PROOF: Final = "That code is not right. Enter what your app shows now, or one of your recovery codes."
_USED_CODE: Final = "That code was used already. Wait until your app shows the next one."
_BAD_NAME: Final = "That name can't be used. Write up to 64 letters, digits and the like."
_NOT_THIS_KEY: Final = "Your browser's answer could not be used. Try again, or take another key."
_KEY_ERRORS: Final[dict[WebauthnFailure, str]] = {
    "already-registered": "This key is one of yours already. Take another one.",
    "unknown-credential": "This key is none of yours. Take the one that you have set up here.",
    "counter-not-advanced": "This key does not count on from where it was. It may have been copied: tell your "
    "administrator.",
}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """One request from a seat: the link's text, whose page it is, and what was sent.

    `party` is as whom this origin asks for keys, `address` the browser's, `fields` those of a form.
    """

    text: str
    at: Seated
    party: RelyingParty | None
    address: str = ""
    fields: Mapping[str, str] = field(default_factory=empty)

    def said(self, name: str) -> str:
        """What the form says."""
        return self.fields.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentPages:
    """The page, in all its states."""

    gate: Gate
    seating: Seating
    enrolling: Enrolling
    means: Means
    client: ClientSettings
    pages: Pages

    async def serve(self, request: Request) -> Response:
        """GET shows where the user stands, POST takes a step."""
        return await (self._step(request) if request.method == "POST" else self._show(request))

    async def _show(self, request: Request) -> Response:
        if "challenge" in request.query_params:
            return self._come_from_challenge(request)
        texts = request.query_params.getlist("ticket")
        text = texts[0] if len(texts) == 1 else ""
        invitation = self._open(text)
        seat = self._seat(request, invitation)
        if seat is None:
            return self._entrance(request, text, invitation)
        at = await self.seating.sit(invitation, seat)
        visit = _Visit(text=text, at=at, party=self._party(request))
        match at.may:
            case "nothing":
                return self._notice(notices.LINK_USED)
            case "ask":
                return self._notice(notices.FIRST_NEEDS_LINK)
            case "prove":
                return self._prove_form(visit)
            case "add-first" | "change":
                return await self._view(visit, request.query_params.get("view", ""))
            case _:
                assert_never(at.may)

    async def _step(self, request: Request) -> Response:
        if not is_from_own_page(request):
            return self._notice(notices.NOT_CHANGED)
        fields = await read_form(request)
        text = fields.get("ticket", "")
        invitation = self._open(text)
        if fields.get("step") == "begin":
            return await self._begin(request, text, invitation)
        seat = self._seat(request, invitation)
        if seat is None:
            return self._notice(notices.LINK_FOREIGN)
        if not hmac.compare_digest(seat.id.encode(), fields.get("seat", "").encode("utf-8", "surrogatepass")):
            return self._notice(notices.STALE, text)
        step = self._steps.get(fields.get("step", ""))
        if step is None:
            return self._notice(notices.MALFORMED)
        visit = _Visit(
            text=text,
            at=await self.seating.sit(invitation, seat),
            party=self._party(request),
            address=browser_address(request, self.client),
            fields=fields,
        )
        return await step(visit)

    @property
    def _steps(self) -> Mapping[str, Callable[[_Visit], Awaitable[Response]]]:
        return {
            "prove": self._prove,
            "app": self._begin_app,
            "confirm": self._confirm_app,
            "key": self._add_key,
            "codes": self._make_codes,
            "rename": self._rename,
            "remove": self._remove,
        }

    def _open(self, text: str) -> Invitation:
        try:
            invitation = open_invitation(text, self.seating.keys)
        except InvalidTicket:
            raise TurnedAway(notices.LINK_MALFORMED) from None
        self.gate.check_subject(invitation.subject)
        return invitation

    def _seat(self, request: Request, invitation: Invitation) -> Seat | None:
        fields = request.headers.getlist("cookie")
        return read_seat(fields, invitation, self.seating.keys, self.seating.clock())

    def _come_from_challenge(self, request: Request) -> Response:
        """Whoever is challenged may change their factors, with one that they have: the ticket says who they are."""
        texts = request.query_params.getlist("challenge")
        ticket = self.gate.open(request, texts[0] if len(texts) == 1 else "")
        text = invite(
            ticket.subject,
            grounds="session",
            expires_at=self.seating.clock() + SESSION_INVITATION,
            keys=self.seating.keys,
            entropy=self.seating.entropy,
        )
        return self._to(text)

    def _entrance(self, request: Request, text: str, invitation: Invitation) -> Response:
        """What everybody sees who opens the link."""
        if self.seating.clock() >= invitation.expires_at:
            return self._notice(notices.LINK_EXPIRED)
        response = self._render("enroll-begin.html", text, invitation)
        if read_secret(request.headers.getlist("cookie"), NONCE_COOKIE) is None:
            nonce = make_secret(self.seating.entropy(COOKIE_SECRET_BYTES))
            response.headers.append("set-cookie", set_cookie(NONCE_COOKIE, nonce))
        return response

    async def _begin(self, request: Request, text: str, invitation: Invitation) -> Response:
        """Take the seat, once it is sure that this browser will be known again."""
        nonce = read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)
        if nonce is None:
            return self._notice(notices.NO_COOKIE, text)
        if self._seat(request, invitation) is not None:
            return self._to(text)
        if self.seating.clock() >= invitation.expires_at:
            return self._notice(notices.LINK_EXPIRED)
        seat = await self.seating.take_seat(invitation, hash_nonce(nonce))
        if seat is None:
            _log.warning("foreign-enrolment-link", subject=invitation.subject.key, link=invitation.id)
            return self._notice(notices.LINK_FOREIGN)
        _log.info("enrolment-begun", subject=invitation.subject.key, link=invitation.id, grounds=invitation.grounds)
        return self._to(text, seat=seat)

    async def _prove(self, visit: _Visit) -> Response:
        at, answer = visit.at, visit.said("answer")
        if at.may != "prove":
            return self._notice(notices.STALE, visit.text)
        outcome: Proof | LockedOut
        if answer and visit.party is not None:
            try:
                outcome = await self.seating.prove_key(at, visit.party, answer)
            except NotVerified as error:
                _log.info("key-refused", subject=at.subject.key, error=str(error))
                return self._prove_form(visit, error=_KEY_ERRORS.get(error.reason, _NOT_THIS_KEY))
        else:
            outcome = await self.seating.prove_code(at, visit.said("code"), visit.address)
        match outcome:
            case Seat():
                _log.info("enrolment-proven", subject=at.subject.key, link=at.invitation.id)
                return self._to(visit.text, seat=outcome)
            case LockedOut():
                error_text = f"Too many wrong codes. Try again in {duration(outcome.retry_after)}."
                return self._prove_form(visit, error=error_text, retry_after=outcome.retry_after)
            case "wrong-code":
                return self._prove_form(visit, error=_WRONG_PROOF)
            case "code-used":
                return self._prove_form(visit, error=_USED_CODE)
            case "used" | "gone":
                return self._notice(notices.LINK_USED)
            case _:
                assert_never(outcome)

    async def _begin_app(self, visit: _Visit) -> Response:
        return self._after(visit, await self.enrolling.begin_app(visit.at, APP_NAME), "app-begun", view="app")

    async def _confirm_app(self, visit: _Visit) -> Response:
        change = await self.enrolling.confirm_app(visit.at, visit.said("code"))
        if change == "wrong-code":
            return await self._app_form(visit, error=_WRONG_CODE)
        return self._after(visit, change, "app-added", view=_next_view(visit.at))

    async def _add_key(self, visit: _Visit) -> Response:
        at, party, name = visit.at, visit.party, visit.said("name").strip()
        if party is None:
            return self._notice(notices.MALFORMED)
        if not _is_name(name):
            return self._key_form(visit, party, error=_BAD_NAME)
        try:
            change = await self.enrolling.add_key(at, party, answer=visit.said("answer"), name=name)
        except NotVerified as error:
            _log.info("key-refused", subject=at.subject.key, error=str(error))
            return self._key_form(visit, party, error=_KEY_ERRORS.get(error.reason, _NOT_THIS_KEY), name=name)
        return self._after(visit, change, "key-added", view=_next_view(at))

    async def _make_codes(self, visit: _Visit) -> Response:
        """The one answer that shows codes: it is no redirect, so that they are in no second one."""
        change, codes = await self.enrolling.make_codes(visit.at)
        if not isinstance(change, Seat):
            return self._after(visit, change, "codes-made")
        _log.info("codes-made", subject=visit.at.subject.key, link=visit.at.invitation.id)
        response = self._render("enroll-codes.html", visit.text, visit.at.invitation, {"codes": codes}, script="codes")
        return self._seated(response, change)

    async def _rename(self, visit: _Visit) -> Response:
        name = visit.said("name").strip()
        if not _is_name(name):
            return self._home(visit, error=_BAD_NAME)
        return self._after(visit, await self.enrolling.rename(visit.at, visit.said("factor"), name), "factor-renamed")

    async def _remove(self, visit: _Visit) -> Response:
        return self._after(visit, await self.enrolling.remove(visit.at, visit.said("factor")), "factor-removed")

    def _after(self, visit: _Visit, change: Change, event: str, *, view: str = "") -> Response:
        match change:
            case Seat():
                _log.info(event, subject=visit.at.subject.key, link=visit.at.invitation.id)
                return self._to(visit.text, seat=change, view=view)
            case "used":
                return self._notice(notices.LINK_USED)
            case "not-first":
                return self._notice(notices.NOT_FIRST, visit.text)
            case "last":
                return self._notice(notices.LAST_FACTOR, visit.text)
            case "unproven" | "gone" | "wrong-code":
                return self._notice(notices.STALE, visit.text)
            case _:
                assert_never(change)

    async def _view(self, visit: _Visit, view: str) -> Response:
        at = visit.at
        if view == "app":
            return await self._app_form(visit)
        if view == "key" and visit.party is not None:
            return self._key_form(visit, visit.party)
        if view == "codes" and at.may == "change":
            values = {"seat": at.seat.id, "left": at.codes_left}
            return self._render("enroll-offer-codes.html", visit.text, at.invitation, values)
        return self._home(visit)

    def _home(self, visit: _Visit, *, error: str = "") -> Response:
        """The factors that there are, and what can be added."""
        at = visit.at
        values = {
            "seat": at.seat.id,
            "factors": at.authenticators,
            "codes_left": at.codes_left,
            "may_change": at.may == "change",
            "offers_keys": visit.party is not None,
            "error": error,
        }
        return self._render("enroll.html", visit.text, at.invitation, values, status=422 if error else 200)

    async def _app_form(self, visit: _Visit, *, error: str = "") -> Response:
        at = visit.at
        waiting = await self.enrolling.waiting_app(at)
        if waiting is None:
            return self._to(visit.text)
        secret = b32encode(waiting[1]).decode("ascii")
        issuer = urlsplit(at.subject.issuer).hostname or at.subject.issuer
        uri = provisioning_uri(waiting[1], account=at.subject.id, issuer=issuer)
        image = segno.make(uri, error="m").svg_inline(scale=1, border=4, omitsize=True, dark="#000", light="#fff")
        values = {
            "seat": at.seat.id,
            "qr": Markup(image),  # noqa: S704 - made by segno: paths and numbers, no input
            "uri": uri,
            "secret": " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
            "error": error,
        }
        return self._render("enroll-app.html", visit.text, at.invitation, values, status=422 if error else 200)

    def _key_form(self, visit: _Visit, party: RelyingParty, *, error: str = "", name: str = KEY_NAME) -> Response:
        options = json.dumps(self.enrolling.key_options(visit.at, party))
        values = {"seat": visit.at.seat.id, "options": options, "error": error, "name": name}
        status = 422 if error else 200
        return self._render(
            "enroll-key.html", visit.text, visit.at.invitation, values, status=status, script="register"
        )

    def _prove_form(self, visit: _Visit, *, error: str = "", retry_after: float | None = None) -> Response:
        at, party = visit.at, visit.party
        kinds = {factor.kind for factor in at.factors}
        options = json.dumps(self.seating.proof_options(at, party)) if party and "webauthn" in kinds else ""
        values = {
            "seat": at.seat.id,
            "options": options,
            "has_app": "totp" in kinds,
            "has_codes": "recovery" in kinds,
            "error": error,
        }
        status = 200 if not error else 422 if retry_after is None else 429
        response = self._render(
            "enroll-prove.html",
            visit.text,
            at.invitation,
            values,
            status=status,
            script="webauthn" if options else None,
        )
        if retry_after is not None:
            response.headers["retry-after"] = str(int(retry_after) + 1)
        return response

    def _party(self, request: Request) -> RelyingParty | None:
        """As whom this page asks for keys: only on an origin that the browser would let it."""
        party = self.means.relying_party
        return party if party is not None and f"https://{request.headers.get('host', '')}" in party.origins else None

    def _render(
        self,
        template: str,
        text: str,
        invitation: Invitation,
        values: Mapping[str, object] = empty(),
        *,
        status: int = 200,
        script: Script | None = None,
    ) -> Response:
        common = {"ticket_text": text, "subject": invitation.subject, "path": ENROL_PATH, "here": page_of(text)}
        return self.pages.render(template, status=status, values={**common, **values}, script=script)

    def _to(self, text: str, *, seat: Seat | None = None, view: str = "") -> Response:
        """Go on at the page, from the new seat if there is one."""
        target = page_of(text) + (f"&view={view}" if view else "")
        response = RedirectResponse(target, status_code=303, headers=self.pages.headers)
        return response if seat is None else self._seated(response, seat)

    def _seated(self, response: Response, seat: Seat) -> Response:
        response.headers.append("set-cookie", set_cookie(ENROLMENT_COOKIE, seat_value(seat, self.seating.keys)))
        return response

    def _notice(self, notice: Notice, text: str = "") -> Response:
        again = page_of(text) if notice.again else None
        return self.pages.render("notice.html", status=notice.status, values={"notice": notice, "again": again})


def _next_view(at: Seated) -> str:
    """After a first factor, recovery codes: nobody looks for them before they are needed."""
    return "" if at.codes_left else "codes"


def _is_name(name: str) -> bool:
    return name.isprintable() and _NAME.fullmatch(name) is not None
