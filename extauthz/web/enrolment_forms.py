"""What the enrolment page shows in each of its states, and where it leads on.

The rule: a secret is shown to the browser that asked for it and in one answer; every form names the seat it is for.
"""

import json
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import msgspec
import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from extauthz.check.enrolling import Enrolling
from extauthz.check.seating import Seated, Seating
from extauthz.stepup.cookies import set_cookie
from extauthz.stepup.enrolment import ENROL_PATH, Invitation, Seat, page_of, seat_value
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import Ticket
from extauthz.stepup.totp import provisioning_uri
from extauthz.values.identity import ENROLMENT_COOKIE
from extauthz.values.request import empty
from extauthz.web.notices import Notice
from extauthz.web.rendering import Pages, Script

APP_NAME: Final = "Authenticator app"
KEY_NAME: Final = "Security key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
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


def free_name(name: str, at: Seated) -> str:
    """`name`, with a number if the subject calls a factor like that already."""
    taken = {factor.name for factor in at.factors}
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 2))
    return next(free for free in (name, *numbered) if free not in taken)


class EnrolmentForms(msgspec.Struct, frozen=True, kw_only=True):
    """The states."""

    seating: Seating
    enrolling: Enrolling
    pages: Pages

    async def view(self, visit: Visit, view: str) -> Response:
        """The view that the address names, as far as it is there for this seat; else the list of factors."""
        at = visit.at
        if view == "app":
            return await self.app_form(visit)
        if view == "key" and visit.party is not None:
            return self.key_form(visit, visit.party)
        if view == "codes" and at.may == "change":
            values = {"seat": at.seat.id, "left": at.codes_left}
            return self.render("enroll-offer-codes.html", visit.text, at.invitation, values)
        return self.home(visit)

    def home(self, visit: Visit, *, error: str = "") -> Response:
        """The factors that there are, and what can be added."""
        at = visit.at
        values = {
            "seat": at.seat.id,
            "factors": at.authenticators,
            "codes_left": at.codes_left,
            "may_change": at.may == "change",
            "offers_keys": visit.party is not None,
            "error": error,
            "back": at.invitation.return_path,
        }
        return self.render("enroll.html", visit.text, at.invitation, values, status=422 if error else 200)

    async def app_form(self, visit: Visit, *, error: str = "") -> Response:
        """The QR code of the app that waits for its first code."""
        at = visit.at
        waiting = await self.enrolling.waiting_app(at)
        if waiting is None:
            return self.to(visit.text)
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
        return self.render("enroll-app.html", visit.text, at.invitation, values, status=422 if error else 200)

    def key_form(self, visit: Visit, party: RelyingParty, *, error: str = "", name: str | None = None) -> Response:
        """Where a key gets its name, `name` until then, and the browser is asked for it."""
        options = json.dumps(self.enrolling.key_options(visit.at, party))
        suggested = free_name(KEY_NAME, visit.at) if name is None else name
        values = {"seat": visit.at.seat.id, "options": options, "error": error, "name": suggested}
        status = 422 if error else 200
        return self.render("enroll-key.html", visit.text, visit.at.invitation, values, status=status, script="register")

    def prove_form(self, visit: Visit, *, error: str = "", retry_after: float | None = None) -> Response:
        """Where a factor is proven before any is changed; `retry_after` in seconds."""
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
        response = self.render(
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

    def missing(self, text: str, ticket: Ticket, *, provider: str) -> Response:
        """What leads from a challenge that nobody could meet to the factor that it lacks; `text` is the ticket's.

        `provider` is where a login is enough for a first one; empty if there are others, of which one has to be proven.
        """
        values = {"challenge_text": text, "ticket": ticket, "provider": provider, "path": ENROL_PATH}
        return self.pages.render("enroll-missing.html", status=403, values=values)

    def render(
        self,
        template: str,
        text: str,
        invitation: Invitation,
        values: Mapping[str, object] = empty(),
        *,
        status: int = 200,
        script: Script | None = None,
    ) -> Response:
        """A page for this invitation, whose text is `text`."""
        common = {"ticket_text": text, "subject": invitation.subject, "path": ENROL_PATH, "here": page_of(text)}
        return self.pages.render(template, status=status, values={**common, **values}, script=script)

    def to(self, text: str, *, seat: Seat | None = None, view: str = "") -> Response:
        """Go on at the page, from the new seat if there is one."""
        target = page_of(text) + (f"&view={view}" if view else "")
        response = RedirectResponse(target, status_code=303, headers=self.pages.headers)
        return response if seat is None else self.seated(response, seat)

    def seated(self, response: Response, seat: Seat) -> Response:
        """The response with the cookie of the new seat."""
        response.headers.append("set-cookie", set_cookie(ENROLMENT_COOKIE, seat_value(seat, self.seating.keys)))
        return response

    def notice(self, notice: Notice, text: str = "") -> Response:
        """A page without a form; `text` is the invitation's, to go back to."""
        again = page_of(text) if notice.again else None
        return self.pages.render("notice.html", status=notice.status, values={"notice": notice, "again": again})
