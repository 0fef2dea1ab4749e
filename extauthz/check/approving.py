"""From a decision that asks for approvals to what becomes of it: asked, joined, given, refused, gone without.

The rules: nothing is let through here; who is given an approval is decided anew, with a new look-up. What a call was
held for and did not get is its answer: it asks for nothing again by itself. A glass is broken for all that is asked
together or for nothing, and only after the proof that it was broken by was used up.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

import msgspec
import structlog
from msgspec.structs import replace

from extauthz.approval.course import LONGEST_REASON
from extauthz.check.approvals import Approvals, Asked, BrokenGlass, Granted, Pending, Refused
from extauthz.check.case import Case
from extauthz.check.holding import Held, Holding
from extauthz.check.proof.proving import issued_since
from extauthz.check.proof.telling import tell_used
from extauthz.errors import Reason
from extauthz.record.masking import Keep
from extauthz.record.picture import picture_of
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret
from extauthz.stepup.fingerprint import fingerprint
from extauthz.stepup.holder import choose_holder
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Proof, State
from extauthz.values.decisions import ApprovalDemand, Challenge, Deny, Evaluation, Hold, denial
from extauthz.values.grants import Grant
from extauthz.values.identity import Identity, holder_of_cookie
from extauthz.values.request import Caller, RequestView
from extauthz.wire.caller import classify

GLASS_HEADER: Final = "x-extauthz-break-glass"
_HELD: Final = frozenset({Caller.API, Caller.GRPC})
"""Whose calls are held: a browser waits on a page, and a preflight asks for nothing."""
_BROWSING: Final = frozenset({Caller.NAVIGATION, Caller.FORM_POST})
_ENDED: Final[Mapping[State, Reason]] = {
    "denied": "approval-denied",
    "expired": "approval-expired",
    "cancelled": "approval-cancelled",
}

_log = structlog.get_logger(__name__)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that is told. `holder_secret` is that of a holder cookie which goes with it, for a browser that has
    none: what it waits for is good for that browser alone."""

    decision: Hold | Deny | Challenge
    holder_secret: str | None = None


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """Something was given: decide again with a new look-up. If that is still not enough, it does not count by the rules
    of the moment, and what is asked for anew is so `despite` these, by rule."""

    despite: Mapping[str, str]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A Check that is decided to need approvals: `case` with its `request` and `identity`, and the `evaluation` that
    has come to `hold`. Whatever has happened to approvals after `mark` may not be known to it. `despite` as `Again`."""

    case: Case
    request: RequestView
    identity: Identity
    evaluation: Evaluation
    hold: Hold
    mark: int
    despite: Mapping[str, str]

    @property
    def now(self) -> float:
        """The time of the decision."""
        return self.case.now


class Approving:
    """`keep` is what approvers see in the clear, as in the audit; `entropy(n)` gives n random bytes. Everything that is
    asynchronous raises `StateUnavailable`."""

    def __init__(
        self,
        approvals: Approvals,
        holding: Holding,
        store: Store,
        *,
        keep: Keep,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.holding = holding
        self._approvals = approvals
        self._store = store
        self._keep = keep
        self._entropy = entropy

    @property
    def mark(self) -> int:
        """The moment, before a decision looks anything up."""
        return self.holding.news.mark

    async def settle(self, question: Question) -> Settled | Again | Held:
        """Ask for what is demanded, and say what becomes of the Check."""
        ended = await self._ended(question)
        if ended is not None:
            return Settled(decision=ended)
        if classify(question.request) is Caller.PREFLIGHT:  # what it goes before may ask
            return Settled(decision=question.hold)
        http = question.request.http
        reasons = () if http is None else http.headers.get(GLASS_HEADER, ())
        if reasons:
            return await self._break(question, reasons)
        holder, secret = self._holder(question)
        if holder is None:
            return Settled(decision=denial("needs-subject", rule=question.hold.rule))
        return self._outcome(
            question, [await self._ask(question, one, holder) for one in question.hold.demands], secret
        )

    async def _ended(self, question: Question) -> Deny | None:
        """What has become of an approval that the call was held for, if it ended otherwise than it should."""
        ids = question.case.asked.held_for
        if not ids:
            return None
        found = await self._store.approvals_of(ids)
        for approval in (found[id_] for id_ in ids if id_ in found):
            state: State = "expired" if _is_overdue(approval, question.now) else approval.state
            if state in _ENDED:
                return _refusal(_ENDED[state], approval.rule, until=approval.cooldown_until, now=question.now)
        return None

    def _holder(self, question: Question) -> tuple[str | None, str | None]:
        """What an approval is tied to, which the caller holds; a browser that has nothing of its own gets a secret."""
        holder = choose_holder(question.identity.holders)
        if classify(question.request) not in _BROWSING or (holder is not None and not holder.startswith("peer:")):
            return holder, None
        secret = make_secret(self._entropy(COOKIE_SECRET_BYTES))
        return holder_of_cookie(secret), secret

    async def _ask(
        self, question: Question, demand: ApprovalDemand, holder: str, glass: BrokenGlass | None = None
    ) -> Asked:
        case, identity, subject = question.case, question.identity, question.identity.subject
        assert subject is not None  # noqa: S101 - nobody else is asked for an approval
        since = issued_since(subject, identity.credentials)
        picture = picture_of(
            demand,
            request=question.request,
            identity=identity,
            facts=case.facts,
            evaluation=question.evaluation,
            revision=case.policies.revision,
            origin=case.origin,
            keep=self._keep,
        )
        return await self._approvals.ask(
            demand,
            holder=holder,
            picture=picture,
            since=since if math.isfinite(since) else None,
            glass=glass,
            despite=question.despite.get(demand.rule, ""),
        )

    def _outcome(self, question: Question, asked: Sequence[Asked], secret: str | None) -> Settled | Again | Held:
        """What all that was asked comes to together: a refusal, a wait, or another look."""
        hold, given, waits = question.hold, dict(question.despite), list[tuple[ApprovalDemand, Approval]]()
        for demand, one in zip(hold.demands, asked, strict=True):
            match one:
                case Refused():
                    if one.refusal is not None:
                        _log.info("break-glass-refused", rule=demand.rule, word=one.refusal.word)
                    return Settled(decision=_refusal(one.reason, demand.rule, until=one.until, now=question.now))
                case Granted():
                    given[demand.rule] = one.approval.id
                case Pending():
                    waits.append((demand, one.approval))
                case _:
                    assert_never(one)
        if not waits:
            return Again(despite=given)
        ids = tuple(approval.id for _, approval in waits)
        held = self._held(question, ids, hold=min(demand.hold for demand, _ in waits))
        if held is not None:
            return held
        demands = tuple(demand for demand, _ in waits)
        return Settled(decision=replace(hold, demands=demands, approvals=ids), holder_secret=secret)

    def _held(self, question: Question, ids: tuple[str, ...], *, hold: float) -> Held | None:
        """The call as one that waits, `None` if it can't, or if there is no place for it."""
        asked, subject = question.case.asked, question.identity.subject
        if hold <= 0 or subject is None or classify(question.request) not in _HELD:
            return None
        until = self.holding.until(hold=hold, remaining=asked.remaining(), no_later=asked.held_until)
        if not self.holding.has_room(subject, until=until):
            return None
        return Held(asked=asked, subject=subject, approvals=ids, since=question.mark, until=until)

    async def _break(self, question: Question, reasons: Sequence[str]) -> Settled | Again | Held:
        """Go through without an approval: who may, says why, and has freshly proven who they are."""
        hold = question.hold
        offers = [demand.break_glass for demand in hold.demands if demand.break_glass is not None]
        if len(offers) < len(hold.demands):
            return Settled(decision=denial("break-glass-refused", rule=hold.rule))
        reason = reasons[0].strip() if len(reasons) == 1 else ""
        if not 0 < len(reason) <= LONGEST_REASON:
            return Settled(decision=denial("break-glass-needs-reason", rule=hold.rule))
        proofs = [offer.proof for offer in offers if offer.proof is not None]
        if len(proofs) < len(offers):
            wanted = tuple(offer.demand for offer in offers if offer.proof is None)
            return Settled(decision=Challenge(rule=wanted[0].rule, demands=wanted))
        holder, _ = self._holder(question)
        if holder is None or not await self._use_up(question, tuple(proofs)):
            return Settled(decision=denial("break-glass-refused", rule=hold.rule))
        asked = [
            await self._ask(question, demand, holder, BrokenGlass(offer=offer, reason=reason, proof=_shown(proof)))
            for demand, offer, proof in zip(hold.demands, offers, proofs, strict=True)
        ]
        return self._outcome(question, asked, None)

    async def _use_up(self, question: Question, proofs: tuple[Grant, ...]) -> bool:
        used = await self._store.consume(
            proofs[0].subject,
            tuple(proof.id for proof in proofs),
            fingerprint=fingerprint(question.request),
            now=question.now,
        )
        tell_used(self._approvals.chronicle, proofs, used.used, origin=question.case.origin)
        return used.done


def _shown(proof: Grant) -> Proof:
    return Proof(factor=proof.factor, at=proof.issued_at)


def _is_overdue(approval: Approval, now: float) -> bool:
    return approval.state == "pending" and now >= approval.expires_at


def _refusal(reason: Reason, rule: str, *, until: float | None, now: float) -> Deny:
    """A denial, which says for how long it stays one."""
    refused = denial(reason, rule=rule)
    return refused if until is None or until <= now else replace(refused, retry_after=until - now)
