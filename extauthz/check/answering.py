"""From a decision to bytes, to counts, and to a record where anybody wants it: the last thing before an answer leaves.

An empty CheckResponse means *allow* to Envoy and a gRPC error whatever `failure_mode_allow` says, so whatever goes
wrong here still ends in an explicit denied answer.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import structlog
from msgspec.structs import replace

from extauthz.check.case import Asked, Case
from extauthz.check.committing import MARGIN_LATER, patience, wait
from extauthz.check.recording import record_of
from extauthz.check.refusals import AUDIT_UNAVAILABLE, INTERNAL_ERROR, refusal
from extauthz.check.repeating import Kept, Repeating
from extauthz.errors import ConfigurationError, Reason, Refused
from extauthz.policy.approving import terms_of
from extauthz.record.brief import Decided
from extauthz.record.chronicle import REQUESTER, Chronicle
from extauthz.record.decision import Wait, WallClock
from extauthz.record.keeping import Recorder
from extauthz.record.tallies import Alike, Tallies
from extauthz.record.trace_context import trace_id_of
from extauthz.record.tracing import SpanGiver
from extauthz.stepup.challenge import offer as challenge_offer
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.waiting import offer as waiting_offer
from extauthz.values.decisions import Challenge, ChallengeOffer, Evaluation, Hold, HoldOffer, denial
from extauthz.values.quoting import detail_of
from extauthz.values.request import Caller
from extauthz.values.span_ids import SpanIds
from extauthz.wire.caller import classify
from extauthz.wire.encode import encode_failure, say, usual_of
from extauthz.wire.fragments import Holed

_log = structlog.get_logger(__name__)

_WITH_PAGE = frozenset({Caller.NAVIGATION, Caller.FORM_POST, Caller.API})
"""Who can open the challenge page: a gRPC caller can't, and a preflight must never be redirected."""


class Answer:
    """The bytes of an answer, the evaluation that led to what it says, and its span where something links to it.

    `detail` is what its record says beyond the reason. `challenge` is the id of the one that it opens, empty if it
    opens none. `usual` is what it says but for the decision's id, where that is what most are answered with.
    """

    def __init__(
        self,
        payload: bytes,
        evaluation: Evaluation,
        detail: str | None,
        span: SpanIds | None = None,
        challenge: str = "",
        usual: Holed | None = None,
    ) -> None:
        self.payload: Final = payload
        self.evaluation: Final = evaluation
        self.detail: Final = detail
        self.span: Final = span
        self.challenge: Final = challenge
        self.usual: Final = usual


class Answering:
    """Encodes decisions, counts them, and hands their records on.

    Where a matching rule says `audit: required`, no answer leaves before its record is on disk; if it can't be, the
    answer is a denial.
    """

    def __init__(
        self,
        *,
        keys: KeyRing,
        tallies: Tallies | None,
        recorder: Recorder | None,
        spans: SpanGiver | None,
        clock: WallClock,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._keys = keys
        self._tallies = tallies
        self._recorder = recorder
        self._blocking = recorder if recorder is not None and recorder.blocks else None
        self._spans = spans
        self._chronicle = Chronicle(recorder=recorder, clock=clock, tallies=tallies)
        self._clock = clock
        self._entropy = entropy
        self._repeating: Final = Repeating()
        self._ready: dict[tuple[str, Reason, int], tuple[bytes, ...]] = {}

    def answer(self, case: Case, evaluation: Evaluation, *, detail: str | None = None) -> bytes:
        """The bytes of this decision's CheckResponse; never empty, never an exception.

        `detail` is what the record says beyond the reason; it does not leave. Blocks while a record is required.
        """
        if self._blocking is not None and self._blocking.blocked:
            evaluation, detail = self._unrecordable(evaluation)
        if detail is None and (known := self._repeating.known(case, evaluation)) is not None and known.said is not None:
            self._keep_again(case, known)
            return case.asked.decision_id.encode().join(known.said)
        answer = self._answer(case, evaluation, detail)
        if not evaluation.audit_required:
            self._keep(case, answer)
            return answer.payload
        ended = self._clock()
        try:
            wait(self._commit(case, answer, ended), patience(case.asked.remaining()))
        except Exception as error:  # noqa: BLE001 - without its record nothing is allowed, whatever the cause
            return self._without_record(case, answer, error).payload
        self._committed(case, answer, ended)
        return answer.payload

    def forget(self) -> None:
        """Keep nothing of what was answered: something else decides from now on."""
        self._repeating.let_go()

    def refuse(self, case: Case, error: Exception) -> bytes:
        """The answer that this error means, as `answer` gives it. One that is none of ours is logged."""
        if not isinstance(error, Refused):
            _log.error("check-failed", **_found_by(case), exc_info=error)
        return self.answer(case, Evaluation(decision=refusal(error)), detail=detail_of(error))

    def refuse_unread(self, case: Case, error: Refused) -> bytes:
        """The answer to a Check that is not even read: as `answer` gives it, at a small part of the cost.

        All but its id is the same in all such answers while the policies and the length of the id are.
        """
        asked, evaluation = case.asked, Evaluation(decision=denial(error.reason))
        decision_id = asked.decision_id
        known = (case.policies.revision, error.reason, len(decision_id))
        parts = self._ready.get(known)
        if parts is None:
            blank = "-" * len(decision_id)
            unread = Asked(blank, asked.started_ns, b"", asked.remaining, asked.trace)
            blanked = Case(unread, case.ruled, None, None)
            parts = tuple(self._answer(blanked, evaluation, None).payload.split(blank.encode()))
            self._ready = {known: parts}  # of one set of policies: those before are of no use any more
        self._keep(case, Answer(b"", evaluation, detail_of(error)))
        return decision_id.encode().join(parts)

    async def answer_later(self, case: Case, evaluation: Evaluation) -> Answer:
        """As `answer`, but the event loop goes on while a record is required; with what was decided in the end."""
        detail = None
        if self._blocking is not None and self._blocking.blocked:
            evaluation, detail = self._unrecordable(evaluation)
        answer = self._answer(case, evaluation, detail)
        if not evaluation.audit_required:
            self._keep(case, answer)
            return answer
        ended = self._clock()
        try:
            written = asyncio.wrap_future(self._commit(case, answer, ended))
            await asyncio.wait_for(written, patience(case.asked.remaining(), MARGIN_LATER))
        except Exception as error:  # noqa: BLE001 - without its record nothing is allowed, whatever the cause
            return self._without_record(case, answer, error)
        self._committed(case, answer, ended)
        return answer

    def _answer(self, case: Case, evaluation: Evaluation, detail: str | None) -> Answer:
        asked, policies, decision = case.asked, case.policies, evaluation.decision
        id_, span, challenge = asked.decision_id.encode(), asked.span, ""
        offer: ChallengeOffer | HoldOffer | None = None
        try:
            usual = usual_of(decision, case.request, len(id_), policies.revision, policies.settable_headers)
            if usual is not None:
                return Answer(id_.join(usual), evaluation, detail, span, usual=usual)
            if type(decision) is Challenge or type(decision) is Hold:
                span = self.span_of(case)
                offer = self._offer(case.linked(span), decision)
            payload, said = say(
                decision,
                request=case.request,
                decision_id=asked.decision_id,
                revision=policies.revision,
                settable=policies.settable_headers,
                schemes=case.schemes,
                unread=asked.payload,
                offer=offer,
            )
            if said is not decision:  # what can't be said is recorded as what is said instead
                evaluation = replace(evaluation, decision=said)
            elif isinstance(offer, ChallengeOffer):
                challenge = offer.id
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an explicit denial
            _log.exception("answer-failed", **_found_by(case))
            evaluation, detail = replace(evaluation, decision=INTERNAL_ERROR), detail_of(error)
            payload = encode_failure(asked.decision_id)
        return Answer(payload, evaluation, detail, span, challenge)

    def span_of(self, case: Case) -> SpanIds | None:
        """The span that the decision will be, for what links to it; `None` where there are no spans."""
        if case.asked.span is not None or self._spans is None:
            return case.asked.span
        return self._spans.give(case.asked.trace, case.request)

    def _unrecordable(self, evaluation: Evaluation) -> tuple[Evaluation, str]:
        """The denial in place of the evaluation while nothing may be decided that can't be recorded."""
        denied = replace(evaluation, decision=AUDIT_UNAVAILABLE, audit_required=False)
        return denied, "the audit file can't be written, and `audit.when_full` is `deny`"

    def _commit(self, case: Case, answer: Answer, ended_ns: int) -> Future[None]:
        if self._recorder is None:
            raise ConfigurationError("a rule requires its record to be written, but no `audit.path` is set")
        kept = Kept(case, answer.evaluation, None, None)
        return self._recorder.commit(_record_of(case, kept, answer, ended_ns))

    def _committed(self, case: Case, answer: Answer, ended_ns: int) -> None:
        """Count what was decided, and that its answer has waited from then until its record was on disk."""
        waits = (*(case.waits or case.asked.waits), Wait("audit", ended_ns, max(self._clock(), ended_ns)))
        try:
            self._count(case, self._alike(answer), answer.span, ended_ns, waits)
        except Exception:  # noqa: BLE001 - a count changes no decision
            _log.exception("record-failed", **_found_by(case))
        if answer.challenge:
            self._tell_opened(case, answer)

    def _without_record(self, case: Case, answer: Answer, error: Exception) -> Answer:
        """The denial in place of an answer whose record is not on disk."""
        _log.error("audit-unavailable", **_found_by(case), error=str(error) or type(error).__name__)
        denied = self._answer(case, replace(answer.evaluation, decision=AUDIT_UNAVAILABLE), detail_of(error))
        self._keep(case, denied)
        return denied

    def _offer(self, case: Case, decision: Challenge | Hold) -> ChallengeOffer | HoldOffer | None:
        """The page where a caller goes on who can open one."""
        if case.request is None or case.identity is None:
            return None
        caller = classify(case.request)
        if caller not in _WITH_PAGE:
            return None
        if isinstance(decision, Challenge):
            return challenge_offer(
                decision,
                identity=case.identity,
                request=case.request,
                caller=caller,
                keys=self._keys,
                now=case.now,
                entropy=self._entropy,
                origin=case.origin,
            )
        if not decision.approvals:  # nothing was asked: this server only tells what it would be
            return None
        return waiting_offer(
            decision,
            identity=case.identity,
            request=case.request,
            caller=caller,
            groups=_breaking(case, decision),
            holder_secret=case.holder_secret,
            keys=self._keys,
            now=case.now,
            entropy=self._entropy,
            origin=case.origin,
        )

    def _keep(self, case: Case, answer: Answer) -> None:
        """Count what was decided, and record it where anybody wants it; and remember what may come again."""
        ended = self._clock()
        try:
            kept = Kept(case, answer.evaluation, answer.usual, self._alike(answer))
            if answer.usual is not None and answer.detail is None:
                self._repeating.learn(kept)
            self._count(case, kept.alike, answer.span, ended, case.waits or case.asked.waits)
            if self._recorder is not None:
                self._recorder.record(_record_of(case, kept, answer, ended))
        except Exception:  # noqa: BLE001 - neither a count nor a record that nobody requires changes a decision
            _log.exception("record-failed", **_found_by(case))
        if answer.challenge:
            self._tell_opened(case, answer)

    def _keep_again(self, case: Case, known: Kept) -> None:
        """As `_keep`, for what has come again."""
        ended, span = self._clock(), case.asked.span
        try:
            self._count(case, known.alike, span, ended, case.waits or case.asked.waits)
            if self._recorder is not None:
                self._recorder.record(record_of(case, known.reasoning, None, span, "", ended))
        except Exception:  # noqa: BLE001 - neither a count nor a record that nobody requires changes a decision
            _log.exception("record-failed", **_found_by(case))

    def _count(
        self, case: Case, alike: Alike | None, span: SpanIds | None, ended_ns: int, waits: tuple[Wait, ...]
    ) -> None:
        tallies, asked = self._tallies, case.asked
        if tallies is None or alike is None:
            return
        tallies.again(alike, asked.decision_id, case.request, asked.trace, span, asked.started_ns, ended_ns)
        if waits:
            tallies.waited(waits)

    def _alike(self, answer: Answer) -> Alike | None:
        """How the answer is counted, where that is done."""
        evaluation = answer.evaluation
        return None if self._tallies is None else self._tallies.alike(evaluation.decision, evaluation.rules)

    def _tell_opened(self, case: Case, answer: Answer) -> None:
        """Tell of the challenge that an answer opens."""
        decision, identity = answer.evaluation.decision, case.identity
        assert isinstance(decision, Challenge) and identity is not None  # noqa: S101, PT018 - nothing else opens one
        self._chronicle.tell(
            "challenge.opened",
            subject=identity.subject,
            by=REQUESTER,
            origin=case.linked(answer.span).origin,
            rule=decision.rule,
            revision=case.policies.revision,
            challenge=answer.challenge,
            reason=None if decision.reason == "proof-required" else decision.reason,
            details={
                "rules": tuple(demand.rule for demand in decision.demands),
                "factors": tuple(sorted({factor for demand in decision.demands for factor in demand.factors})),
            },
        )


def _record_of(case: Case, kept: Kept, answer: Answer, ended_ns: int) -> Decided:
    return record_of(case, kept.reasoning, answer.detail, answer.span, answer.challenge, ended_ns)


def _breaking(case: Case, hold: Hold) -> tuple[str, ...]:
    """The groups of the caller's that the rules of this hold name for those who may break the glass."""
    named: set[str] = set()
    for demand in hold.demands:
        terms = terms_of(case.policies, demand.rule, now=case.now)
        if demand.break_glass is not None and terms is not None and terms.break_glass is not None:
            named |= terms.break_glass.groups & demand.break_glass.by.groups
    return tuple(sorted(named))


def _found_by(case: Case) -> dict[str, str]:
    """What a line of the log has of a decision."""
    span = case.asked.span
    trace = trace_id_of(case.asked.trace, case.request) if span is None else f"{span.trace_id:032x}"
    ids = {"decision_id": case.asked.decision_id}
    return ids if trace is None else {**ids, "trace_id": trace}
