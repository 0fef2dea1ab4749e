"""How approvers get in and out: login at their provider, an administrator's link, logout.

The rules: opening an address logs nobody in, neither a link nor the way back of a login that another browser has begun;
and a logout ends the session on every server before it is answered.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.approval.persons import Persons, person_named
from extauthz.check.approver_identity import NotAnApprover, approver_of
from extauthz.errors import InvalidCredential, StateUnavailable
from extauthz.identity.claims import verified
from extauthz.identity.revocations import Revocation
from extauthz.lookup.approver_login_config import ApproverLoginSettings
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.approver_login import (
    LINK_PATH,
    LOGGED_IN_PATH,
    LOGIN_PATH,
    LOGIN_SECONDS,
    ApproverLink,
    Begun,
    check_login,
    depart_for_login,
    open_link,
    open_login,
)
from extauthz.stepup.approver_session import (
    SESSION_ID_BYTES,
    ApproverSession,
    SessionNotKept,
    session_id,
    session_value,
)
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_secret, set_cookie
from extauthz.stepup.keys import SEAL_NONCE_BYTES
from extauthz.stepup.oidc import OidcRefused, read_return
from extauthz.stepup.ticket import InvalidTicket, hash_nonce
from extauthz.store.protocol import Store
from extauthz.values.approvals import ON_CALL, Approver
from extauthz.values.identity import APPROVER_COOKIE, NONCE_COOKIE, Credential
from extauthz.web.approvers import notices
from extauthz.web.approvers.desk import Desk, TurnedAway
from extauthz.web.forms import is_from_own_page, read_form

_HOME: Final = "/"
_LONGEST_THEN: Final = 512
_LINKED_SECONDS: Final = 3600.0
"""How long a login by a link is good, where no login at a provider says it."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """The approvers' provider: who it is, what is taken of it, and the client that asks it."""

    settings: ApproverLoginSettings
    client: OidcClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The ways in and out. `provided` is `None` where approvers come by links alone; `claims` are the names of those
    that are kept of approvers."""

    desk: Desk
    store: Store
    persons: Persons
    claims: tuple[str, ...]
    provided: Provided | None

    def login_page(self, request: Request, then: str, *, status: int = 200) -> Response:
        """What is shown where nobody is logged in: the button that leads to the provider, and back to `then`."""
        values = {"then": then, "path": LOGIN_PATH, "provider": self.provided and self.provided.settings.issuer}
        response = self.desk.pages.render("approvers/login.html", status=status, values=values)
        return self._with_nonce(request, response)

    async def login(self, request: Request) -> Response:
        """GET asks whether to log in, POST leads to the provider.

        Raises:
            TurnedAway: there is no provider, or it was no form of ours.
            IssuerUnavailable: nobody knows where the provider is.
        """
        if request.method != "POST":
            return self.login_page(request, _HOME)
        if not is_from_own_page(request):
            raise TurnedAway(notices.NOT_OUR_FORM)
        if self.provided is None:
            raise TurnedAway(notices.NO_PROVIDER)
        fields = await read_form(request)
        nonce = read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)
        if nonce is None:
            raise TurnedAway(notices.NO_COOKIE)
        begun = Begun(
            nonce_hash=hash_nonce(nonce),
            then=_safe(fields.get("then", "")),
            expires_at=self.desk.clock() + LOGIN_SECONDS,
        )
        departure = depart_for_login(
            begun,
            provider=await self.provided.client.provider(),
            redirect_uri=self._redirect_uri,
            keys=self.desk.keys,
            entropy=self.desk.entropy,
        )
        return RedirectResponse(departure.location, status_code=303, headers=self.desk.pages.headers)

    async def come_back(self, request: Request) -> Response:
        """GET: what the provider has sent the browser back with.

        Raises:
            TurnedAway: it logs nobody in.
            IssuerUnavailable: the provider does not say what it is good for.
        """
        provided, desk = self.provided, self.desk
        if provided is None:
            raise TurnedAway(notices.NO_PROVIDER)
        states = request.query_params.getlist("state")
        try:
            begun, secrets = open_login(states[0] if len(states) == 1 else "", desk.keys)
        except InvalidTicket:
            raise TurnedAway(notices.LOGIN_MALFORMED) from None
        if not begun.fits(read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)):
            _log.warning("foreign-approver-login")
            raise TurnedAway(notices.LOGIN_FOREIGN)
        if desk.clock() >= begun.expires_at:
            raise TurnedAway(notices.LOGIN_EXPIRED, then=begun.then)
        provider = await provided.client.provider()
        try:
            back = read_return(request.query_params.multi_items(), provider=provider)
            claims = await provided.client.claims(
                back.code, code_verifier=secrets.code_verifier, redirect_uri=self._redirect_uri
            )
            check_login(claims, begun=begun, secrets=secrets, provider=provider, now=desk.clock())
            token = verified(claims, provided.settings.source, token_hash="")
            token.confirmation.check(certificate="", key="")
            approver = approver_of(token.user, persons=self.persons, claims=self.claims)
        except (OidcRefused, InvalidCredential) as error:
            _log.info("approver-login-refused", error=str(error))
            called_off = isinstance(error, OidcRefused) and error.reason == "refused"
            notice = notices.LOGIN_CALLED_OFF if called_off else notices.LOGIN_UNUSABLE
            raise TurnedAway(notice, then=begun.then) from None
        except NotAnApprover as error:
            _log.warning("not-an-approver", reason=error.reason)
            raise TurnedAway(notices.NO_APPROVER) from None
        return self._seat(approver, (token.credential,), seconds=provided.settings.session, then=begun.then)

    async def link(self, request: Request) -> Response:
        """GET shows whom an administrator's link logs in, POST does it, in one browser.

        Raises:
            TurnedAway: it logs nobody in.
            StateUnavailable: the store is out of reach.
        """
        if request.method != "POST":
            texts = request.query_params.getlist("link")
            text = texts[0] if len(texts) == 1 else ""
            values = {"link": self._link(text), "text": text, "path": LINK_PATH}
            return self._with_nonce(request, self.desk.pages.render("approvers/link.html", status=200, values=values))
        if not is_from_own_page(request):
            raise TurnedAway(notices.NOT_OUR_FORM)
        text = (await read_form(request)).get("link", "")
        link = self._link(text)
        nonce = read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)
        if nonce is None:
            raise TurnedAway(notices.NO_COOKIE, then=f"{LINK_PATH}?{urlencode({'link': text})}")
        current = self.desk.session(request)
        approver = _linked(link)
        if current is not None and current.approver.person != approver.person:
            raise TurnedAway(notices.LOGGED_IN_ALREADY)
        first = await self.store.use_proof(
            f"approver-link:{link.id}",
            expires_at=link.expires_at,
            fingerprint=hash_nonce(nonce),
            now=self.desk.clock(),
        )
        if not first:
            _log.warning("approver-link-used-again", person=link.person, link=link.id)
            raise TurnedAway(notices.LINK_USED)
        credential = Credential(subjects=(link.subject,), issued_at=link.issued_at)
        seconds = _LINKED_SECONDS if self.provided is None else self.provided.settings.session
        return self._seat(approver, (credential,), seconds=seconds, then=_HOME, linked=True)

    async def logout(self, request: Request) -> Response:
        """POST: end the session, here and everywhere.

        Raises:
            TurnedAway: it was no form of this session.
            StateUnavailable: the store is out of reach; it may not have ended.
        """
        session, _ = await self.desk.sent(request)
        now = self.desk.clock()
        revocation = Revocation(
            kind="session", subject=session.approver.subject, id=session.sid, at=now, until=session.expires_at
        )
        await self.store.put_revocation(revocation, now=now)
        try:
            await self.desk.revocations.load()
        except StateUnavailable as error:  # it is revoked; who has it finds out when the feed goes on
            _log.error("state-unavailable", error=str(error))
        _log.info("approver-logged-out", subject=session.approver.subject.key)
        return self.desk.notice(notices.LOGGED_OUT, ends=True)

    @property
    def _redirect_uri(self) -> str:
        return f"{self.desk.url}{LOGGED_IN_PATH}"

    def _link(self, text: str) -> ApproverLink:
        try:
            link = open_link(text, self.desk.keys)
        except InvalidTicket:
            raise TurnedAway(notices.LINK_MALFORMED) from None
        if self.desk.clock() >= link.expires_at:
            raise TurnedAway(notices.LINK_EXPIRED)
        return link

    def _seat(
        self,
        approver: Approver,
        tokens: tuple[Credential, ...],
        *,
        seconds: float,
        then: str,
        linked: bool = False,
    ) -> Response:
        """A new session of this browser, which goes on to `then`."""
        desk, now = self.desk, self.desk.clock()
        session = ApproverSession(
            id=session_id(desk.entropy(SESSION_ID_BYTES)),
            approver=approver,
            tokens=tokens,
            started_at=now,
            expires_at=now + seconds,
            linked=linked,
        )
        desk.check(session)
        try:
            value = session_value(session, desk.keys, desk.entropy(SEAL_NONCE_BYTES))
        except SessionNotKept as error:
            _log.error("approver-session-not-kept", error=str(error))
            raise TurnedAway(notices.TOO_MUCH_TO_KEEP) from None
        _log.info("approver-logged-in", subject=approver.subject.key, person=approver.person, linked=linked)
        response = RedirectResponse(then, status_code=303, headers=desk.pages.headers)
        response.headers.append("set-cookie", set_cookie(APPROVER_COOKIE, value, max_age=int(seconds)))
        return response

    def _with_nonce(self, request: Request, response: Response) -> Response:
        if read_secret(request.headers.getlist("cookie"), NONCE_COOKIE) is None:
            nonce = make_secret(self.desk.entropy(COOKIE_SECRET_BYTES))
            response.headers.append("set-cookie", set_cookie(NONCE_COOKIE, nonce))
        return response


def _linked(link: ApproverLink) -> Approver:
    # The command writes the name as it is; two spellings of it are one person.
    person = person_named(link.person)
    if person is None:
        raise TurnedAway(notices.LINK_MALFORMED)
    groups = frozenset(group for group in link.groups if not group.startswith(ON_CALL))
    return Approver(subject=link.subject, person=person, groups=groups, name=link.person)


def _safe(then: str) -> str:
    """Where to go after a login: a path of these pages, and nothing that a browser could take for another place."""
    is_path = then.startswith("/") and not then.startswith(("//", "/\\", LOGIN_PATH))
    plain = then.isascii() and then.isprintable() and "\\" not in then and len(then) <= _LONGEST_THEN
    return then if is_path and plain else _HOME
