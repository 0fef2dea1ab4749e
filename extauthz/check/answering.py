"""From a decision to bytes and a record: the last thing before an answer leaves.

An empty CheckResponse means *allow* to Envoy and a gRPC error whatever `failure_mode_allow` says, so whatever goes
wrong here still ends in an explicit denied answer.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import msgspec
import structlog
from msgspec.structs import replace

from extauthz.check.refusals import AUDIT_UNAVAILABLE, INTERNAL_ERROR, refusal
from extauthz.errors import ConfigurationError, Reason, Refused
from extauthz.identity.lookups import NO_ANSWERS, Answers
from extauthz.policy.approving import terms_of
from extauthz.policy.asking import NOTHING_ASKED, Inquiry
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import AuditTrail, DecisionRecord, Recorder, Trace, WallClock
from extauthz.stepup.challenge import offer as challenge_offer
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.waiting import offer as waiting_offer
from extauthz.values.decisions import Allow, Challenge, ChallengeOffer, Decision, Evaluation, Hold, HoldOffer, denial
from extauthz.values.grants import NO_FACTS, Facts
from extauthz.values.identity import Identity
from extauthz.values.quoting import detail_of
from extauthz.values.request import Caller, RequestView
from extauthz.values.schemes import Schemes
from extauthz.wire.caller import classify
from extauthz.wire.encode import encode_failure, say

AUDIT_PATIENCE = 0.15
"""Seconds that an answer waits for its record to be on disk; Envoy waits 0.2 unless it is told otherwise."""
AUDIT_MARGIN = 0.02
"""Seconds of the caller's deadline that are left for the answer when that wait ends."""
AUDIT_MARGIN_LATER = 0.03
"""As much, where a transport counts its own margin beside: the answer that the record is missing is to be the first."""

Remaining = Callable[[], float | None]
"""Seconds until the caller's deadline, `None` if there is none."""

_log = structlog.get_logger(__name__)

_WITH_PAGE = frozenset({Caller.NAVIGATION, Caller.FORM_POST, Caller.API})
"""Who can open the challenge page: a gRPC caller can't, and a preflight must never be redirected."""


class Asked(msgspec.Struct, frozen=True):
    """One Check as it came: its bytes, how long its caller still waits, and the call's trace context.

    `started_ns` is when it is decided, anew if it was held: `held_for` are the approvals that it has waited for until
    just now, and `held_until` is when all waiting must be over, on the monotonic clock. `came_at` is when it came then,
    in seconds since the epoch, and `proofs` are the proofs of possession that it has used up.
    """

    decision_id: str
    started_ns: int
    payload: bytes
    remaining: Remaining
    trace: Trace
    held_for: tuple[str, ...] = ()
    held_until: float | None = None
    came_at: float | None = None
    proofs: Answers = NO_ANSWERS


class Case(msgspec.Struct, frozen=True):
    """One Check and what was established about it; `None` is what was not.

    `policies` decide it, `schemes` are how its caller could have proven who it is, `facts` are what was looked up for
    it by `inquiry`, and what needed no look-up. `holder_secret` is that of a holder cookie which the answer sets.
    """

    asked: Asked
    policies: PolicySet
    schemes: Schemes
    request: RequestView | None
    identity: Identity | None
    facts: Facts = NO_FACTS
    inquiry: Inquiry = NOTHING_ASKED
    holder_secret: str | None = None

    @property
    def now(self) -> float:
        """The time of the decision in seconds since the epoch."""
        return self.asked.started_ns / 1e9


class Answer(msgspec.Struct, frozen=True):
    """The bytes of an answer, and the evaluation that led to what it says."""

    payload: bytes
    evaluation: Evaluation
    detail: str | None


class Answering:
    """Encodes decisions and hands their records on.

    Where a matching rule says `audit: required`, no answer leaves before its record is on disk; if it can't be, the
    answer is a denial.
    """

    def __init__(
        self,
        *,
        keys: KeyRing,
        recorder: Recorder | None,
        audit: AuditTrail | None,
        clock: WallClock,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._keys = keys
        self._audit = audit
        self._recorders = tuple(one for one in (recorder, audit) if one is not None)
        self._beside_audit = tuple(one for one in (recorder,) if one is not None)
        self._clock = clock
        self._entropy = entropy
        self._ready: dict[tuple[str, Reason, int], tuple[bytes, ...]] = {}

    def answer(self, case: Case, evaluation: Evaluation, *, detail: str | None = None) -> bytes:
        """The bytes of this decision's CheckResponse; never empty, never an exception.

        `detail` is what the record says beyond the reason; it does not leave. Blocks while a record is required.
        """
        answer = self._answer(case, evaluation, detail)
        if evaluation.audit_required:
            try:
                _wait(self._commit(case, answer), _patience(case.asked.remaining()))
            except Exception as error:  # noqa: BLE001 - without its record nothing is allowed, whatever the cause
                return self._without_record(case, answer, error).payload
        self._record(case, answer, audited=evaluation.audit_required)
        return answer.payload

    def refuse(self, case: Case, error: Exception) -> bytes:
        """The answer that this error means, as `answer` gives it. One that is none of ours is logged."""
        if not isinstance(error, Refused):
            _log.error("check-failed", decision_id=case.asked.decision_id, exc_info=error)
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
        self._record(case, Answer(b"", evaluation, detail_of(error)), audited=False)
        return decision_id.encode().join(parts)

    async def answer_later(self, case: Case, evaluation: Evaluation) -> Answer:
        """As `answer`, but the event loop goes on while a record is required; with what was decided in the end."""
        answer = self._answer(case, evaluation, None)
        if evaluation.audit_required:
            try:
                written = asyncio.wrap_future(self._commit(case, answer))
                await asyncio.wait_for(written, _patience(case.asked.remaining(), AUDIT_MARGIN_LATER))
            except Exception as error:  # noqa: BLE001 - without its record nothing is allowed, whatever the cause
                return self._without_record(case, answer, error)
        self._record(case, answer, audited=evaluation.audit_required)
        return answer

    def _answer(self, case: Case, evaluation: Evaluation, detail: str | None) -> Answer:
        asked, policies, decision = case.asked, case.policies, evaluation.decision
        try:
            payload, said = say(
                decision,
                request=case.request,
                decision_id=asked.decision_id,
                revision=policies.revision,
                settable=policies.settable_headers,
                schemes=case.schemes,
                unread=asked.payload,
                offer=None if isinstance(decision, Allow) else self._offer(case, decision),
            )
            if said is not decision:  # what can't be said is recorded as what is said instead
                evaluation = replace(evaluation, decision=said)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an explicit denial
            _log.exception("answer-failed", decision_id=asked.decision_id)
            evaluation, detail = replace(evaluation, decision=INTERNAL_ERROR), detail_of(error)
            payload = encode_failure(asked.decision_id)
        return Answer(payload, evaluation, detail)

    def _commit(self, case: Case, answer: Answer) -> Future[None]:
        if self._audit is None:
            raise ConfigurationError("a rule requires its record to be written, but no `audit.path` is set")
        return self._audit.commit(self._record_of(case, answer))

    def _without_record(self, case: Case, answer: Answer, error: Exception) -> Answer:
        """The denial in place of an answer whose record is not on disk."""
        _log.error("audit-unavailable", decision_id=case.asked.decision_id, error=str(error) or type(error).__name__)
        denied = self._answer(case, replace(answer.evaluation, decision=AUDIT_UNAVAILABLE), detail_of(error))
        self._record(case, denied, audited=False)
        return denied

    def _offer(self, case: Case, decision: Decision) -> ChallengeOffer | HoldOffer | None:
        """The page where a caller goes on who can open one."""
        if not isinstance(decision, Challenge | Hold) or case.request is None or case.identity is None:
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
        )

    def _record_of(self, case: Case, answer: Answer) -> DecisionRecord:
        asked = case.asked
        return DecisionRecord(
            decision_id=asked.decision_id,
            revision=case.policies.revision,
            decision=answer.evaluation.decision,
            rules=answer.evaluation.rules,
            request=case.request,
            identity=case.identity,
            session=case.facts.session,
            risk=answer.evaluation.risk,
            views=answer.evaluation.views,
            asked=case.inquiry.meanings,
            answers=case.facts.answers,
            detail=answer.detail,
            trace=asked.trace,
            started_ns=asked.started_ns,
            ended_ns=self._clock(),
        )

    def _record(self, case: Case, answer: Answer, *, audited: bool) -> None:
        recorders = self._beside_audit if audited else self._recorders
        if not recorders:  # nothing is made where nobody listens
            return
        try:
            record = self._record_of(case, answer)
            for recorder in recorders:
                recorder.record(record)
        except Exception:  # noqa: BLE001 - a record that nobody requires changes no decision
            _log.exception("record-failed", decision_id=case.asked.decision_id)


def _breaking(case: Case, hold: Hold) -> tuple[str, ...]:
    """The groups of the caller's that the rules of this hold name for those who may break the glass."""
    named: set[str] = set()
    for demand in hold.demands:
        terms = terms_of(case.policies, demand.rule, now=case.now)
        if demand.break_glass is not None and terms is not None and terms.break_glass is not None:
            named |= terms.break_glass.groups & demand.break_glass.by.groups
    return tuple(sorted(named))


def _patience(remaining: float | None, margin: float = AUDIT_MARGIN) -> float:
    """How long a record may take, so that the answer is there before the caller has given up."""
    return AUDIT_PATIENCE if remaining is None else max(min(AUDIT_PATIENCE, remaining - margin), 0.0)


def _wait(written: Future[None], patience: float) -> None:
    """Wait until a record is on disk. One that comes too late is called back: it says what is not answered."""
    try:
        written.result(patience)
    except TimeoutError:
        written.cancel()
        raise
