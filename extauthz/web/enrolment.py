"""The page `/.extauthz/enroll` on which somebody sets up and changes second factors.

The rule: every form names the seat that it was made for, and only a form that this page has sent counts. Who gets a
seat is `web.enrolment_entry`'s to say, what may be done from it `check.enrolling`'s.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, assert_never

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from extauthz.check.enrolling import Change, Enrolling
from extauthz.check.proof.proving import LockedOut
from extauthz.check.seating import Proof, Seated, Seating
from extauthz.identity.config import ClientSettings
from extauthz.stepup.enrolment import Seat
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.webauthn_answer import NotVerified, WebauthnFailure
from extauthz.web import notices
from extauthz.web.address import browser_address
from extauthz.web.enrolment_entry import Entry
from extauthz.web.enrolment_forms import APP_NAME, EnrolmentForms, Visit, free_name
from extauthz.web.forms import is_from_own_page, read_form
from extauthz.web.gate import Gate
from extauthz.web.login import Login
from extauthz.web.offers import Means
from extauthz.web.rendering import duration

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


class EnrolmentPages(msgspec.Struct, frozen=True, kw_only=True):
    """The page, in all its states."""

    gate: Gate
    entry: Entry
    login: Login
    seating: Seating
    enrolling: Enrolling
    means: Means
    client: ClientSettings
    forms: EnrolmentForms

    async def serve(self, request: Request) -> Response:
        """GET shows where the user stands, POST takes a step."""
        return await (self._step(request) if request.method == "POST" else self._show(request))

    async def _show(self, request: Request) -> Response:
        if "challenge" in request.query_params:
            return await self.entry.come_from_challenge(request)
        texts = request.query_params.getlist("ticket")
        text = texts[0] if len(texts) == 1 else ""
        invitation = self.entry.open(text)
        seat = self.entry.seat(request, invitation)
        if seat is None:
            return self.entry.show(request, text, invitation)
        at = await self.seating.sit(invitation, seat)
        visit = Visit(text=text, at=at, party=self._party(request))
        match at.may:
            case "nothing":
                return self.forms.notice(notices.LINK_USED)
            case "ask":
                return self.forms.notice(notices.FIRST_NEEDS_LINK)
            case "prove":
                return self.forms.prove_form(visit)
            case "add-first" | "change":
                return await self.forms.view(visit, request.query_params.get("view", ""))
            case _:
                assert_never(at.may)

    async def _step(self, request: Request) -> Response:
        if not is_from_own_page(request):
            return self.forms.notice(notices.NOT_CHANGED)
        fields = await read_form(request)
        if fields.get("step") == "login":
            return await self._log_in(request, fields.get("challenge", ""), closes=fields.get("then") == "close")
        text = fields.get("ticket", "")
        invitation = self.entry.open(text)
        if fields.get("step") == "begin":
            return await self.entry.begin(request, text, invitation)
        seat = self.entry.seat(request, invitation)
        if seat is None:
            return self.entry.refuse(invitation)
        if not hmac.compare_digest(seat.id.encode(), fields.get("seat", "").encode("utf-8", "surrogatepass")):
            return self.forms.notice(notices.STALE, text)
        step = self._steps.get(fields.get("step", ""))
        if step is None:
            return self.forms.notice(notices.MALFORMED)
        visit = Visit(
            text=text,
            at=await self.seating.sit(invitation, seat),
            party=self._party(request),
            address=browser_address(request, self.client),
            fields=fields,
        )
        return await step(visit)

    @property
    def _steps(self) -> Mapping[str, Callable[[Visit], Awaitable[Response]]]:
        return {
            "prove": self._prove,
            "app": self._begin_app,
            "confirm": self._confirm_app,
            "key": self._add_key,
            "codes": self._make_codes,
            "rename": self._rename,
            "remove": self._remove,
        }

    async def _log_in(self, request: Request, text: str, *, closes: bool) -> Response:
        """Send who was challenged and has no factor to their provider; `text` is that of the challenge's ticket."""
        ticket = self.gate.open(request, text)
        return await self.login.leave(replace(ticket, purpose="enrolment", demands=(), closes=closes))

    async def _prove(self, visit: Visit) -> Response:
        at, answer = visit.at, visit.said("answer")
        if at.may != "prove":
            return self.forms.notice(notices.STALE, visit.text)
        outcome: Proof | LockedOut
        if answer and visit.party is not None:
            try:
                outcome = await self.seating.prove_key(at, visit.party, answer)
            except NotVerified as error:
                _log.info("key-refused", subject=at.subject.key, error=str(error))
                return self.forms.prove_form(visit, error=_KEY_ERRORS.get(error.reason, _NOT_THIS_KEY))
        else:
            outcome = await self.seating.prove_code(at, visit.said("code"), visit.address)
        match outcome:
            case Seat():
                _log.info("enrolment-proven", subject=at.subject.key, link=at.invitation.id)
                return self.forms.to(visit.text, seat=outcome)
            case LockedOut():
                error_text = f"Too many wrong codes. Try again in {duration(outcome.retry_after)}."
                return self.forms.prove_form(visit, error=error_text, retry_after=outcome.retry_after)
            case "wrong-code":
                return self.forms.prove_form(visit, error=_WRONG_PROOF if at.codes_left else _WRONG_CODE)
            case "code-used":
                return self.forms.prove_form(visit, error=_USED_CODE)
            case "used" | "gone":
                return self.forms.notice(notices.LINK_USED)
            case _:
                assert_never(outcome)

    async def _begin_app(self, visit: Visit) -> Response:
        change = await self.enrolling.begin_app(visit.at, free_name(APP_NAME, visit.at))
        return self._after(visit, change, "app-begun", view="app")

    async def _confirm_app(self, visit: Visit) -> Response:
        change = await self.enrolling.confirm_app(visit.at, visit.said("code"))
        if change == "wrong-code":
            return await self.forms.app_form(visit, error=_WRONG_CODE)
        return self._after(visit, change, "app-added", view=_next_view(visit.at))

    async def _add_key(self, visit: Visit) -> Response:
        at, party, name = visit.at, visit.party, visit.said("name").strip()
        if party is None:
            return self.forms.notice(notices.MALFORMED)
        if not _is_name(name):
            return self.forms.key_form(visit, party, error=_BAD_NAME)
        try:
            change = await self.enrolling.add_key(at, party, answer=visit.said("answer"), name=name)
        except NotVerified as error:
            _log.info("key-refused", subject=at.subject.key, error=str(error))
            return self.forms.key_form(visit, party, error=_KEY_ERRORS.get(error.reason, _NOT_THIS_KEY), name=name)
        return self._after(visit, change, "key-added", view=_next_view(at))

    async def _make_codes(self, visit: Visit) -> Response:
        """The one answer that shows codes: it is no redirect, so that they are in no second one."""
        change, codes = await self.enrolling.make_codes(visit.at)
        if not isinstance(change, Seat):
            return self._after(visit, change, "codes-made")
        _log.info("codes-made", subject=visit.at.subject.key, link=visit.at.invitation.id)
        response = self.forms.render(
            "enroll-codes.html", visit.text, visit.at.invitation, {"codes": codes}, script="codes"
        )
        return self.forms.seated(response, change)

    async def _rename(self, visit: Visit) -> Response:
        name = visit.said("name").strip()
        if not _is_name(name):
            return self.forms.home(visit, error=_BAD_NAME)
        return self._after(visit, await self.enrolling.rename(visit.at, visit.said("factor"), name), "factor-renamed")

    async def _remove(self, visit: Visit) -> Response:
        return self._after(visit, await self.enrolling.remove(visit.at, visit.said("factor")), "factor-removed")

    def _after(self, visit: Visit, change: Change, event: str, *, view: str = "") -> Response:
        match change:
            case Seat():
                _log.info(event, subject=visit.at.subject.key, link=visit.at.invitation.id)
                return self.forms.to(visit.text, seat=change, view=view)
            case "used":
                return self.forms.notice(notices.LINK_USED)
            case "not-first":
                return self.forms.notice(notices.NOT_FIRST, visit.text)
            case "last":
                return self.forms.notice(notices.LAST_FACTOR, visit.text)
            case "too-many":
                return self.forms.notice(notices.TOO_MANY, visit.text)
            case "unproven" | "gone" | "wrong-code":
                return self.forms.notice(notices.STALE, visit.text)
            case _:
                assert_never(change)

    def _party(self, request: Request) -> RelyingParty | None:
        """As whom this page asks for keys."""
        return self.means.relying_party_at(request.headers.get("host", ""))


def _next_view(at: Seated) -> str:
    """After a first factor, recovery codes: nobody looks for them before they are needed."""
    return "" if at.codes_left else "codes"


def _is_name(name: str) -> bool:
    return name.isprintable() and _NAME.fullmatch(name) is not None
