"""One approval: all that is known of it, and what whoever is logged in can do about it.

The rule: a form says what is wanted and why; who wants it comes from the session, what they have proven from the store,
and whether it happens is said by `check.approvals` alone.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.approval.course import LONGEST_REASON
from extauthz.approval.refusals import Refusal, RefusalWord
from extauthz.approval.telling.wording import good_for
from extauthz.check.approval_viewing import Seen, Viewing
from extauthz.stepup.approver_session import ApproverSession
from extauthz.values.approvals import Approval, Proof
from extauthz.web.approvers.confirming import Confirming, factors_of, page_of
from extauthz.web.approvers.desk import Desk
from extauthz.web.approvers.overview import REFRESH
from extauthz.web.approvers.picture import factor_in_words, sections_of, title_of

_STALE_REASON: Final = "It was answered or ended meanwhile: nothing was done."
REFUSED: Final[Mapping[RefusalWord, tuple[int, str]]] = {
    "not-found": (404, "It is kept no more: nothing was done."),
    "not-pending": (409, _STALE_REASON),
    "rule-gone": (409, "No rule asks for this any more, so nobody can answer it."),
    "requester": (403, "You have asked for this yourself, or somebody who acts for you has. Others have to answer."),
    "voted-already": (409, "You have answered this already: one person, one answer."),
    "not-an-approver": (403, "The rule does not ask you, or not yet."),
    "needs-reason": (422, "Write down why: the rule wants a reason."),
    "reason-too-long": (422, f"Write less: a reason has at most {LONGEST_REASON} characters."),
    "needs-factor": (403, "Your confirmation is too old or was not enough: confirm again, then answer."),
    "not-the-requester": (403, "Only who has asked can do that."),
    "not-approved": (409, "There is nothing to take back."),
    "not-break-glass": (409, "Nobody went through without an answer here."),
    "reviewed-already": (409, "Somebody else has looked at this already."),
    "subject-blocked": (409, "Whoever asks was blocked or signed out meanwhile, so it was cancelled."),
    "conflict": (409, "Others have answered at the same moment. Look at it again, then answer."),
}
"""Why what was wanted has not happened: a status, and words for people."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A form about the approval with this id; `proof` is what its sender has confirmed for it."""

    id: str
    session: ApproverSession
    proof: Proof | None
    fields: Mapping[str, str]

    @property
    def reason(self) -> str:
        """What was written down as the reason; browsers send line ends as two characters."""
        return self.fields.get("reason", "").replace("\r\n", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneApproval:
    """The page under `/approvals/{id}`, and where its forms lead."""

    desk: Desk
    viewing: Viewing
    confirming: Confirming

    async def show(self, request: Request) -> Response:
        """GET: the approval."""
        session = self.desk.seated(request)
        return await self._page(request, session, request.path_params["id"])

    async def confirm(self, request: Request) -> Response:
        """POST: the way to the page that takes the factor that the rule asks for."""
        session, _ = await self.desk.sent(request)
        seen = await self._seen(request.path_params["id"], session)
        if seen.proof is None:
            return self._to(seen.approval.id)
        return self.confirming.leave(request, session, seen.approval, seen.proof)

    async def act(self, request: Request) -> Response:
        """POST: one of the things that can be done; the last step of the path says which."""
        session, fields = await self.desk.sent(request)
        id_ = request.path_params["id"]
        act = self._acts.get(request.path_params["act"])
        if act is None:
            raise HTTPException(404)
        await self._seen(id_, session)
        form = _Form(id=id_, session=session, proof=await self.confirming.proof(request, session, id_), fields=fields)
        done = await act(form)
        if isinstance(done, Refusal):
            _log.info("approval-refused", approval=id_, reason=done.word, subject=session.approver.subject.key)
            return await self._page(request, session, id_, refusal=done, reason=form.reason)
        return self._to(id_)

    @property
    def _acts(self) -> Mapping[str, Callable[[_Form], Awaitable[Approval | Refusal]]]:
        return {
            "vote": self._vote,
            "review": self._review,
            "cancel": self._cancel,
            "revoke": self._revoke,
        }

    async def _vote(self, form: _Form) -> Approval | Refusal:
        stance = form.fields.get("stance")
        if stance not in ("approve", "deny"):
            raise HTTPException(400)
        return await self.viewing.approvals.vote(
            form.id,
            form.session.approver,
            stance="approve" if stance == "approve" else "deny",
            reason=form.reason,
            proof=form.proof,
            channel="page",
        )

    async def _review(self, form: _Form) -> Approval | Refusal:
        verdict = form.fields.get("verdict")
        if verdict not in ("justified", "unjustified"):
            raise HTTPException(400)
        return await self.viewing.approvals.review(
            form.id,
            form.session.approver,
            verdict="justified" if verdict == "justified" else "unjustified",
            reason=form.reason,
            proof=form.proof,
        )

    async def _cancel(self, form: _Form) -> Approval | Refusal:
        return await self.viewing.approvals.cancel(form.id, by=form.session.approver, reason=form.reason)

    async def _revoke(self, form: _Form) -> Approval | Refusal:
        return await self.viewing.approvals.revoke(form.id, by=form.session.approver, reason=form.reason)

    async def _seen(self, id_: str, session: ApproverSession) -> Seen:
        seen = await self.viewing.show(id_, session.approver)
        if seen is None:
            raise HTTPException(404)
        return seen

    async def _page(
        self,
        request: Request,
        session: ApproverSession,
        id_: str,
        *,
        refusal: Refusal | None = None,
        reason: str = "",
    ) -> Response:
        seen = await self._seen(id_, session)
        approval, now = seen.approval, self.desk.clock()
        proof = None
        if seen.proof is not None and (seen.against is None or seen.may_review):
            proof = await self.confirming.proof(request, session, id_)
        fresh = proof is not None and seen.proof is not None and _is_fresh(proof, seen.proof, now)
        status, error = (200, "") if refusal is None else REFUSED[refusal.word]
        values = {
            "place": "one",
            "seen": seen,
            "approval": approval,
            "title": title_of(approval),
            "path": page_of(id_),
            "sections": sections_of(approval),
            "good_for": good_for(approval),
            "in_words": factor_in_words,
            "past": await self.viewing.past(approval, session.approver),
            "confirm": seen.proof is not None and not fresh,
            "confirmable": seen.proof is not None and bool(factors_of(seen.proof)),
            "against": REFUSED[seen.against.word][1] if seen.against is not None else "",
            "error": error,
            "reason": reason,
            "longest": LONGEST_REASON,
            "live": f"{approval.version}-{approval.state} {int(now // REFRESH)}",
            "doing": _doing(seen, fresh=fresh),
        }
        return self.desk.render("one.html", session, values, status=status)

    def _to(self, id_: str) -> Response:
        return RedirectResponse(page_of(id_), status_code=303, headers=self.desk.pages.headers)


def _is_fresh(proof: Proof, wanted: Refusal, now: float) -> bool:
    return proof.factor in wanted.factors and now - proof.at < wanted.max_age


def _doing(seen: Seen, *, fresh: bool) -> str:
    """What tells the forms of this page from others: while it stays, they stay, with what is written in them."""
    against = "" if seen.against is None else seen.against.word
    may = (seen.may_review, seen.may_cancel, seen.may_revoke, fresh)
    return f"{against}-{''.join('y' if one else 'n' for one in may)}"
