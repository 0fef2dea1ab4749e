"""A fresh factor of an approver: the challenge page leaves a grant for one approval, and an answer to it looks for it.

The rule: it is good for the approval that the page has named, in the session and in the browser that have proven it.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.approval.refusals import Refusal
from extauthz.check.proof.telling import tell_opened
from extauthz.record.chronicle import Chronicle
from extauthz.stepup.approver_session import ApproverSession
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret, read_secret, set_cookie
from extauthz.stepup.factors import FACTOR_AMR, PRESENCE_AMR
from extauthz.stepup.ticket import TICKET_ID_BYTES, TICKET_SECONDS, Action, Ticket, hash_nonce, sign
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Proof
from extauthz.values.decisions import ChallengeDemand, Factor
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE, holder_of_cookie
from extauthz.web.approvers.desk import Desk, TurnedAway
from extauthz.web.approvers.notices import NO_FACTOR

_NO_CHECK: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """The way to the challenge page of this origin, and what it has left."""

    desk: Desk
    store: Store
    chronicle: Chronicle

    async def proof(self, request: Request, session: ApproverSession, approval: str) -> Proof | None:
        """The newest factor that this browser has proven in this session for the approval with this id.

        Raises:
            StateUnavailable: the store is out of reach.
        """
        secret = read_secret(request.headers.getlist("cookie"), HOLDER_COOKIE)
        if secret is None:
            return None
        found = await self.store.look_up(
            session.approver.subject, session.key, fingerprint=_NO_CHECK, now=self.desk.clock()
        )
        proofs = [
            Proof(factor=grant.factor, at=grant.issued_at)
            for grant in found.grants
            if grant.holder == holder_of_cookie(secret) and grant.binding == _binding(approval)
        ]
        return max(proofs, key=lambda proof: proof.at, default=None)

    def leave(self, request: Request, session: ApproverSession, approval: Approval, refusal: Refusal) -> Response:
        """Send the browser to the challenge page, for one of the factors that the refusal asks for.

        Raises:
            TurnedAway: none of them can be proven on a page.
        """
        factors = factors_of(refusal)
        if not factors:
            raise TurnedAway(NO_FACTOR, then=page_of(approval.id))
        nonce = read_secret(request.headers.getlist("cookie"), NONCE_COOKIE)
        cookie = None
        if nonce is None:
            nonce = make_secret(self.desk.entropy(COOKIE_SECRET_BYTES))
            cookie = set_cookie(NONCE_COOKIE, nonce)
        picture = approval.picture
        asks = {
            "asked by": picture.user or picture.workload,
            "request": f"{picture.method} {picture.target}",
        }
        demand = ChallengeDemand(
            rule=approval.rule,
            factors=factors,
            max_age=refusal.max_age,
            binding=_binding(approval.id),
            uses=None,
            user_verification="preferred" if PRESENCE_AMR in refusal.factors else "required",
            description="Answer: " + (picture.description or approval.rule),
            show={**asks, **picture.show},
        )
        ticket = Ticket(
            id=make_secret(self.desk.entropy(TICKET_ID_BYTES)),
            subject=session.approver.subject,
            session=session.key,
            nonce_hash=hash_nonce(nonce),
            action=Action(method="POST", authority=self.desk.authority, path=page_of(approval.id)),
            return_path=page_of(approval.id),
            expires_at=self.desk.clock() + TICKET_SECONDS,
            demands=(demand,),
            credentials=session.credentials,
            origin=picture.origin,
            approver=session.approver.person,
        )
        tell_opened(self.chronicle, ticket, approvals=(approval.id,))
        location = f"{CHALLENGE_PATH}?ticket={quote(sign(ticket, self.desk.keys))}"
        response = RedirectResponse(location, status_code=303, headers=self.desk.pages.headers)
        if cookie is not None:
            response.headers.append("set-cookie", cookie)
        return response


def factors_of(refusal: Refusal) -> tuple[Factor, ...]:
    """The factors by which what is asked for can be proven here."""
    presence = PRESENCE_AMR in refusal.factors
    return tuple(
        factor for factor, amr in FACTOR_AMR.items() if amr in refusal.factors or (factor == "webauthn" and presence)
    )


def page_of(approval: str) -> str:
    """The path of the page about the approval with this id."""
    return f"/approvals/{quote(approval, safe='')}"


def _binding(approval: str) -> str:
    return f"approver {approval}"
