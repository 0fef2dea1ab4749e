"""From a decision to bytes and a record: the last thing before an answer leaves.

An empty CheckResponse means *allow* to Envoy and a gRPC error whatever `failure_mode_allow` says, so whatever goes
wrong here still ends in an explicit denied answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from extauthz.check.refusals import INTERNAL_ERROR
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import DecisionRecord, Recorder, WallClock
from extauthz.stepup.challenge import offer as challenge_offer
from extauthz.stepup.keys import KeyRing
from extauthz.values.decisions import Challenge, ChallengeOffer, Evaluation
from extauthz.values.identity import Identity
from extauthz.values.request import Caller, RequestView
from extauthz.wire.encode import encode, encode_failure
from extauthz.wire.sayable import sayable

_log = structlog.get_logger(__name__)

_WITH_PAGE = frozenset({Caller.NAVIGATION, Caller.FORM_POST, Caller.API})
"""Who can open the challenge page: a gRPC caller can't, and a preflight must never be redirected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One Check and what was established about it; `None` is what was not."""

    decision_id: str
    started_ns: int
    policies: PolicySet
    caller: Caller
    request: RequestView | None
    identity: Identity | None

    @property
    def now(self) -> float:
        """The time of the decision in seconds since the epoch."""
        return self.started_ns / 1e9


class Answering:
    """Encodes decisions and hands their records on."""

    def __init__(self, *, keys: KeyRing, recorder: Recorder, clock: WallClock, entropy: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._recorder = recorder
        self._clock = clock
        self._entropy = entropy

    def answer(self, case: Case, evaluation: Evaluation, *, detail: str | None = None) -> bytes:
        """The bytes of this decision's CheckResponse; never empty, never an exception.

        `detail` is what the record says beyond the reason; it does not leave.
        """
        try:
            offer = self._offer(case, evaluation)
            # What can't be said is recorded as what is said instead.
            evaluation = replace(evaluation, decision=sayable(evaluation.decision, offer=offer))
            payload = self._encode(case, evaluation, offer)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an explicit denial
            _log.exception("answer-failed", decision_id=case.decision_id)
            evaluation, detail = Evaluation(decision=INTERNAL_ERROR, rules=evaluation.rules), repr(error)
            payload = encode_failure(case.decision_id)
        self._record(case, evaluation, detail)
        return payload

    def _encode(self, case: Case, evaluation: Evaluation, offer: ChallengeOffer | None) -> bytes:
        return encode(
            evaluation.decision,
            request=case.request,
            caller=case.caller,
            decision_id=case.decision_id,
            revision=case.policies.revision,
            settable=case.policies.settable_headers,
            offer=offer,
        )

    def _offer(self, case: Case, evaluation: Evaluation) -> ChallengeOffer | None:
        if not isinstance(evaluation.decision, Challenge) or case.caller not in _WITH_PAGE:
            return None
        if case.request is None or case.identity is None:
            return None
        return challenge_offer(
            evaluation.decision,
            identity=case.identity,
            request=case.request,
            caller=case.caller,
            keys=self._keys,
            now=case.now,
            entropy=self._entropy,
        )

    def _record(self, case: Case, evaluation: Evaluation, detail: str | None) -> None:
        try:
            self._recorder.record(
                DecisionRecord(
                    decision_id=case.decision_id,
                    revision=case.policies.revision,
                    decision=evaluation.decision,
                    rules=evaluation.rules,
                    request=case.request,
                    identity=case.identity,
                    detail=detail,
                    started_ns=case.started_ns,
                    ended_ns=self._clock(),
                )
            )
        except Exception:  # noqa: BLE001 - a record that fails changes no decision
            _log.exception("record-failed", decision_id=case.decision_id)
