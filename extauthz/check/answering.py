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

from extauthz.check.case import Case
from extauthz.check.committing import MARGIN_LATER, patience, wait
from extauthz.check.recording import record_of
from extauthz.check.refusals import AUDIT_UNAVAILABLE, INTERNAL_ERROR, refusal
from extauthz.errors import ConfigurationError, Reason, Refused
from extauthz.policy.approving import terms_of
from extauthz.record.chronicle import REQUESTER, Chronicle
from extauthz.record.decision import DecisionRecord, Wait, WallClock
from extauthz.record.keeping import Recorder
from extauthz.record.tallies import Tallies
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
from extauthz.wire.encode import encode_failure, say, say_usual

_log = structlog.get_logger(__name__)

_OFFERING: Final = (Challenge, Hold)
_WITH_PAGE = frozenset({Caller.NAVIGATION, Caller.FORM_POST, Caller.API})
"""Who can open the challenge page: a gRPC caller can't, and a preflight must never be redirected."""


class Answer:
    """The bytes of an answer, the evaluation that led to what it says, and its span where something links to it.

    `detail` is what its record says beyond the reason. `challenge` is the id of the one that it opens, empty if it
    opens none.
    """

    def __init__(
        self,
        payload: bytes,
        evaluation: Evaluation,
        detail: str | None,
        span: SpanIds | None = None,
        challenge: str = "",
    ) -> None:
        self.payload: Final = payload
        self.evaluation: Final = evaluation
        self.detail: Final = detail
        self.span: Final = span
        self.challenge: Final = challenge


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
        self._spans = spans
        self._chronicle = Chronicle(recorder=recorder, clock=clock, tallies=tallies)
        self._clock = clock
        self._entropy = entropy
        self._ready: dict[tuple[str, Reason, int], tuple[bytes, ...]] = {}

    def answer(self, case: Case, evaluation: Evaluation, *, detail: str | None = None) -> bytes:
        """The bytes of this decision's CheckResponse; never empty, never an exception.

        `detail` is what the record says beyond the reason; it does not leave. Blocks while a record is required.
        """
        if self._recorder is not None and self._recorder.blocked:
            evaluation, detail = self._unrecordable(evaluation)
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

    def refuse(self, case: Case, error: Exception) -> bytes:
        """The answer that this error means, as `answer` gives it. One that is none of ours is logged."""
        if not isinstance(error, Refused):
            _log.error("check-failed", **_found_by(case), exc_info=error)
        return self.answer(case, Evaluation(decision=refusal(error)), detail=detail_of(error))

    def turn_away(self, case: Case, error: Refused) -> bytes:
        """The answer to a Check that is not even read: as `answer` gives it, at a small part of the cost.

        All but its id is the same in all such answers while the policies and the length of the id are.
        """
        decision_id, evaluation = case.asked.decision_id, Evaluation(decision=denial(error.reason))
        known = (case.policies.revision, error.reason, len(decision_id))
        parts = self._ready.get(known)
        if parts is None:
            blank = "-" * len(decision_id)
            blanked = replace(case, asked=replace(case.asked, decision_id=blank))
            parts = tuple(self._answer(blanked, evaluation, None).payload.split(blank.encode()))
            self._ready = {known: parts}  # of one set of policies: those before are of no use any more
        self._keep(case, Answer(b"", evaluation, detail_of(error)))
        return decision_id.encode().join(parts)

    async def answer_later(self, case: Case, evaluation: Evaluation) -> Answer:
        """As `answer`, but the event loop goes on while a record is required; with what was decided in the end."""
        detail = None
        if self._recorder is not None and self._recorder.blocked:
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
        span, challenge = asked.span, ""
        offer: ChallengeOffer | HoldOffer | None = None
        try:
            usual = say_usual(decision, case.request, asked.decision_id, policies.revision, policies.settable_headers)
            if usual is not None:
                return Answer(usual, evaluation, detail, span)
            if isinstance(decision, _OFFERING):
                span = self.span_of(case)
                offer = self._offer(replace(case, asked=replace(asked, span=span)), decision)
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
        return self._recorder.commit(_record_of(case, answer, ended_ns))

    def _committed(self, case: Case, answer: Answer, ended_ns: int) -> None:
        """Count what was decided, and that its answer has waited from then until its record was on disk."""
        try:
            self._count(case, answer, ended_ns, (Wait("audit", ended_ns, max(self._clock(), ended_ns)),))
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
        """Count what was decided, and record it where anybody wants it."""
        ended = self._clock()
        try:
            self._count(case, answer, ended)
            if self._recorder is not None:
                self._recorder.record(_record_of(case, answer, ended))
        except Exception:  # noqa: BLE001 - neither a count nor a record that nobody requires changes a decision
            _log.exception("record-failed", **_found_by(case))
        if answer.challenge:
            self._tell_opened(case, answer)

    def _count(self, case: Case, answer: Answer, ended_ns: int, more: tuple[Wait, ...] = ()) -> None:
        if self._tallies is None:
            return
        asked, evaluation = case.asked, answer.evaluation
        self._tallies.decided(
            evaluation.decision,
            decision_id=asked.decision_id,
            rules=evaluation.rules,
            waits=(case.waits or asked.waits) + more,
            request=case.request,
            trace=asked.trace,
            span=answer.span,
            started_ns=asked.started_ns,
            ended_ns=ended_ns,
        )

    def _tell_opened(self, case: Case, answer: Answer) -> None:
        """Tell of the challenge that an answer opens."""
        decision, identity = answer.evaluation.decision, case.identity
        assert isinstance(decision, Challenge) and identity is not None  # noqa: S101, PT018 - nothing else opens one
        self._chronicle.tell(
            "challenge.opened",
            subject=identity.subject,
            by=REQUESTER,
            origin=replace(case, asked=replace(case.asked, span=answer.span)).origin,
            rule=decision.rule,
            revision=case.policies.revision,
            challenge=answer.challenge,
            reason=None if decision.reason == "proof-required" else decision.reason,
            details={
                "rules": tuple(demand.rule for demand in decision.demands),
                "factors": tuple(sorted({factor for demand in decision.demands for factor in demand.factors})),
            },
        )


def _record_of(case: Case, answer: Answer, ended_ns: int) -> DecisionRecord:
    return record_of(case, answer.evaluation, answer.detail, answer.span, answer.challenge, ended_ns)


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
