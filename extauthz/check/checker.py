"""The pipeline of a Check. Every way a request becomes allowed is in this file.

`start` runs in the caller's thread and does no I/O: it answers at once when the candidate rules need no look-up.
Otherwise it returns an open case, and `finish` asks who must be asked to know the caller, does the look-up, proves a
one-time code that came along, asks for approvals, and uses up the grants that an allow rests on. Both end in the bytes
of an explicit answer, whatever happens; or in a call that is held, which `resume` begins anew when its wait is over.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import msgspec
import structlog
from msgspec.structs import replace

from extauthz.check.activity import Activities
from extauthz.check.answering import Answering, Asked, Case, Remaining
from extauthz.check.approving import Again, Approving, Question, Settled
from extauthz.check.gathering import Gathered, Gatherer
from extauthz.check.habits import Habits
from extauthz.check.holding import Held, Holding
from extauthz.check.leaving import left_by
from extauthz.check.proof.proving import LockedOut, NotProven, Proven, Proving, TicketUsed
from extauthz.check.proof.totp import prove_totp
from extauthz.check.refusals import refusal
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import Refused, StateUnavailable
from extauthz.identity.lookups import Answer, Answers, Awaiting, Done, Lookup, Unreachable, UsedBefore, UseProof
from extauthz.identity.resolver import Resolver
from extauthz.lookup.attributes.sources import AttributeSources
from extauthz.lookup.inquiries import NO_INQUIRIES, Inquiries
from extauthz.policy.candidates import Candidates
from extauthz.policy.decide import decide, needs
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import AuditTrail, Recorder, Trace, WallClock
from extauthz.stepup.fingerprint import fingerprint
from extauthz.stepup.holder import choose_holder
from extauthz.stepup.keys import KeyRing
from extauthz.store.protocol import Store
from extauthz.values.decisions import Allow, Challenge, Evaluation, Hold, denial
from extauthz.values.grants import NO_FACTS, Facts, Grant
from extauthz.values.identity import Identity
from extauthz.values.quoting import detail_of
from extauthz.values.request import RequestView
from extauthz.wire.decode import decode
from extauthz.wire.reading import STRICT, Reading

_RESERVED = (".extauthz",)
"""What the paths of our own pages begin with."""
CODE_HEADER = "x-extauthz-otp"
COMMIT_MARGIN = 0.05
"""Seconds of the caller's deadline that must be left when grants are used up (design section 4), and that attribute
sources leave."""
MOST_LOOKS = 4
"""How often one Check is decided because an approval was given while it was asked for."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What decides: swapped whole on a reload, so that no decision sees half of two."""

    policies: PolicySet
    resolver: Resolver
    reading: Reading = STRICT
    facts: Facts = NO_FACTS
    """Those that need no look-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world outside of the core.

    `clock` gives nanoseconds since the epoch, `monotonic` seconds, `entropy(n)` n random bytes. `recorder` is `None`
    where nobody wants records, `audit` where no audit file is configured, `revocations` where nobody can revoke
    anything. `inquiries` asks whoever must be asked to know a caller. `activities` is `None` where nobody remembers
    what sessions do, `habits` where nobody remembers what is usual, `sources` without attribute sources, `approving`
    where nobody can be asked for approvals.
    """

    clock: WallClock
    monotonic: Callable[[], float]
    entropy: Callable[[int], bytes]
    store: Store
    keys: KeyRing
    recorder: Recorder | None = None
    inquiries: Inquiries = NO_INQUIRIES
    audit: AuditTrail | None = None
    revocations: RevocationFeed | None = None
    activities: Activities | None = None
    sources: AttributeSources | None = None
    habits: Habits | None = None
    approving: Approving | None = None


class Unidentified(msgspec.Struct, frozen=True):
    """A Check whose caller is not known before `awaiting` is answered."""

    case: Case
    request: RequestView
    awaiting: Awaiting


class OpenCase(msgspec.Struct, frozen=True):
    """A Check that waits for a look-up: who asks, what for, and the rules that may speak to it."""

    case: Case
    request: RequestView
    identity: Identity
    candidates: Candidates


class Unrecorded(msgspec.Struct, frozen=True):
    """A Check that is decided, and whose answer waits until its record is on disk."""

    case: Case
    evaluation: Evaluation


Opened = Unidentified | OpenCase | Unrecorded
"""What `start` hands to `finish`."""


class Checker:
    """Decides Checks. Safe to call from several threads; `finish` belongs to one event loop."""

    def __init__(self, ruling: Ruling, surroundings: Surroundings) -> None:
        self._ruling = ruling
        self._around = surroundings
        self._clock = surroundings.clock
        self._gatherer = Gatherer(
            surroundings.store, surroundings.activities, surroundings.sources, surroundings.habits
        )
        self._revocations = surroundings.revocations
        self._answering = Answering(
            keys=surroundings.keys,
            recorder=surroundings.recorder,
            audit=surroundings.audit,
            clock=surroundings.clock,
            entropy=surroundings.entropy,
        )
        # A random prefix and a counter: unique over replicas and restarts, at a tenth of the cost of a UUID.
        self._id_prefix = surroundings.entropy(8).hex() + "-"
        self._id_counter = itertools.count(1)

    @property
    def holding(self) -> Holding | None:
        """Where calls wait for approvals, `None` where none does."""
        return None if self._around.approving is None else self._around.approving.holding

    @property
    def ruling(self) -> Ruling:
        """What decides now."""
        return self._ruling

    def swap(self, ruling: Ruling) -> None:
        """Let the next Check be decided by `ruling`; those on their way keep what they began with."""
        self._ruling = ruling

    def start(
        self, payload: bytes, *, trace: Trace = (), remaining: Remaining = lambda: None, may_wait: bool = True
    ) -> bytes | Opened:
        """The answer to the CheckRequest in `payload`, or what `finish` needs to give it after a look-up.

        `trace` is the trace context in the metadata of the call, `remaining` tells how long its caller still waits. An
        answer that a rule requires a record of waits for that here, unless this thread is one that never `may_wait`.
        """
        asked = Asked(f"{self._id_prefix}{next(self._id_counter):x}", self._clock(), payload, remaining, trace)
        return self._begin(asked, may_wait=may_wait)

    def resume(self, held: Held) -> bytes | Opened:
        """As `start`, for a call whose wait is over: it is decided anew, as if it came now."""
        asked = replace(held.asked, started_ns=self._clock(), held_for=held.approvals, held_until=held.until)
        return self._begin(asked, may_wait=False)

    def _begin(self, asked: Asked, *, may_wait: bool) -> bytes | Opened:
        ruling = self._ruling
        policies, resolver = ruling.policies, ruling.resolver
        payload, now = asked.payload, asked.started_ns / 1e9
        request: RequestView | None = None
        identity: Identity | None = None
        try:
            request = decode(payload, ruling.reading)
            http = request.http
            # Our own pages are served where ext_authz is switched off: a Check that names them came around that.
            if http is not None and http.segments[:1] == _RESERVED:
                case = Case(asked, policies, resolver.schemes, request, None)
                return self._answering.answer(case, Evaluation(decision=denial("reserved-path")))
            known = resolver.identify(request, now=now)
            if isinstance(known, Awaiting):
                case = Case(asked, policies, resolver.schemes, request, None)
                return Unidentified(case, request, known)
            identity = known
            if self._revocations is not None:
                self._revocations.check(identity, now=now)
            case = Case(asked, policies, resolver.schemes, request, identity, ruling.facts)
            candidates = policies.candidates(request, identity)
            wanted, facts = candidates.plan.needs, ruling.facts
            if wanted.concern(identity):
                remembered = self._gatherer.at_once(wanted, request=request, identity=identity, local=facts, now=now)
                if remembered is None:
                    return OpenCase(case, request, identity, candidates)
                facts = remembered
                case = replace(case, facts=facts)
            evaluation = decide(
                candidates,
                request=request,
                identity=identity,
                facts=facts,
                now=now,
                binding_keys=self._around.keys.binding_keys,
            )
            if evaluation.audit_required and not may_wait:
                return Unrecorded(case, evaluation)
            return self._answering.answer(case, evaluation)
        except Exception as error:  # noqa: BLE001 - every path ends in an explicit answer
            return self._refuse(Case(asked, policies, resolver.schemes, request, identity), error)

    async def finish(self, opened: Opened, *, deadline: float | None) -> bytes | Held:
        """The answer to a Check that `start` left open, or the call as it waits for an approval: then `resume` it after
        `holding.wait`. `deadline` is that of the answer, on the monotonic clock.
        """
        case, approving = opened.case, self._around.approving
        mark = 0 if approving is None else approving.mark
        try:
            if isinstance(opened, Unrecorded):
                return (await self._answering.answer_later(case, opened.evaluation)).payload
            if isinstance(opened, Unidentified):
                opened = await self._identify(opened)
                case = opened.case
                self._check_revocations(opened.identity, case.now)
            gathered = await self._gatherer.gather(
                opened.candidates,
                request=opened.request,
                identity=opened.identity,
                local=case.facts,
                now=case.now,
                patience=None if deadline is None else deadline - self._around.monotonic() - COMMIT_MARGIN,
            )
            facts = gathered.facts
            case = replace(case, facts=facts, inquiry=gathered.inquiry)
            evaluation = self._decide(opened, facts)
            code = _code(opened.request)
            if isinstance(evaluation.decision, Challenge) and code is not None:
                evaluation, facts = await self._prove(opened, evaluation.decision, code, evaluation, facts)
            if isinstance(evaluation.decision, Hold) and approving is not None:
                settled = await self._approve(approving, opened, case, evaluation, facts, mark, deadline)
                if isinstance(settled, Held):
                    return settled
                evaluation, facts, secret = settled
                case = replace(case, holder_secret=secret)
            evaluation = await self._use_up_grants(opened, evaluation, facts, deadline)
            # Again, after all that was waited for: what was revoked meanwhile counts.
            self._check_revocations(opened.identity, case.now)
            return await self._say(opened, case, evaluation, gathered)
        except Exception as error:  # noqa: BLE001 - every path ends in an explicit answer
            return self._refuse(case, error)

    def turn_away(self, error: Refused, *, trace: Trace = (), remaining: Remaining = lambda: None) -> bytes:
        """The answer to a Check that is not even read, in the form that an empty one would get."""
        ruling = self._ruling
        asked = Asked(f"{self._id_prefix}{next(self._id_counter):x}", self._clock(), b"", remaining, trace)
        case = Case(asked, ruling.policies, ruling.resolver.schemes, None, None)
        try:
            return self._answering.turn_away(case, error)
        except Exception as failure:  # noqa: BLE001 - every path ends in an explicit answer
            return self._refuse(case, failure)

    def abandon(self, opened: Opened, error: Refused) -> bytes:
        """The answer to a Check whose `finish` can't be waited for."""
        return self._refuse(opened.case, error)

    def let_go(self, held: Held, error: Refused) -> bytes:
        """The answer to a call that was held and is not to be decided any more."""
        ruling = self._ruling
        return self._refuse(Case(held.asked, ruling.policies, ruling.resolver.schemes, None, None), error)

    async def _identify(self, waiting: Unidentified) -> OpenCase:
        """Ask until the caller is known. What decides is what does by then: an answer may have brought new keys."""
        case, request = waiting.case, waiting.request

        def identify(answers: Answers) -> OpenCase | Awaiting:
            ruling = self._ruling
            known = ruling.resolver.identify(request, now=case.now, answers=answers)
            if isinstance(known, Awaiting):
                return known
            found = replace(case, identity=known, policies=ruling.policies, facts=ruling.facts)
            return _open(found, request, known)

        inquiries = self._around.inquiries.beside({UseProof: partial(self._use_proof, waiting)})
        return await inquiries.until_known(waiting.awaiting, identify)

    async def _use_proof(self, waiting: Unidentified, lookup: Lookup) -> Answer:
        """Use up a proof of possession; the same Check sent again uses it no second time."""
        assert isinstance(lookup, UseProof)  # noqa: S101 - it is asked about nothing else
        try:
            first = await self._around.store.use_proof(
                lookup.id,
                expires_at=lookup.expires_at,
                fingerprint=fingerprint(waiting.request),
                now=waiting.case.now,
            )
        except StateUnavailable as error:
            return Unreachable(detail=str(error))
        return Done() if first else UsedBefore()

    def _check_revocations(self, identity: Identity, now: float) -> None:
        """Raise `Refused` if it is revoked, however it came to be known: from a cache, from an issuer just now."""
        if self._revocations is not None:
            self._revocations.check(identity, now=now)

    def _decide(self, opened: OpenCase, facts: Facts) -> Evaluation:
        return decide(
            opened.candidates,
            request=opened.request,
            identity=opened.identity,
            facts=facts,
            now=opened.case.now,
            binding_keys=self._around.keys.binding_keys,
        )

    async def _say(self, opened: OpenCase, case: Case, evaluation: Evaluation, gathered: Gathered) -> bytes:
        """Answer, and remember what is allowed in the end as activity of its session, if rules watch that.

        What they did not let through must not wake a session: asking twice would be a way around them. Nor must what no
        rule watches, or another page would be one.
        """
        answer = await self._answering.answer_later(case, evaluation)
        subject, session, activities = opened.identity.subject, opened.identity.session, self._around.activities
        if (
            isinstance(answer.evaluation.decision, Allow)
            and activities is not None
            and subject is not None
            and session is not None
            and needs(opened.candidates).ages
        ):
            activities.note(subject, session, at=case.now)
        if (habits := self._around.habits) is not None and gathered.inquiry.questions:
            habit = left_by(opened.identity, gathered, answer.evaluation, at=case.now)
            if habit is not None:
                habits.note(habit)
        return answer.payload

    async def _prove(
        self, opened: OpenCase, challenge: Challenge, code: str, evaluation: Evaluation, facts: Facts
    ) -> tuple[Evaluation, Facts]:
        """Try the one-time code that came along; only here, where the decision would otherwise be this challenge."""
        identity = opened.identity
        holder = choose_holder(identity.holders)
        if identity.subject is None or identity.session is None or holder is None:
            return evaluation, facts
        proving = Proving(
            store=self._around.store,
            keys=self._around.keys,
            subject=identity.subject,
            session=identity.session,
            holder=holder,
            credentials=identity.credentials,
            demands=challenge.demands,
            address=identity.client_ip,
            now=opened.case.now,
            entropy=self._around.entropy,
        )
        outcome = await prove_totp(proving, code)
        match outcome:
            case Proven():
                facts = replace(facts, grants=(*facts.grants, *outcome.grants))
                return self._decide(opened, facts), facts
            case NotProven():
                challenge = replace(challenge, reason=outcome.reason)
            case LockedOut():
                challenge = replace(challenge, reason=outcome.reason, retry_after=outcome.retry_after)
            case TicketUsed():
                raise AssertionError("no ticket came along")
            case _:
                assert_never(outcome)
        return replace(evaluation, decision=challenge), facts

    async def _approve(
        self,
        approving: Approving,
        opened: OpenCase,
        case: Case,
        evaluation: Evaluation,
        facts: Facts,
        mark: int,
        deadline: float | None,
    ) -> Held | tuple[Evaluation, Facts, str | None]:
        """Ask for the approvals that are demanded. What is given meanwhile decides again, and must count then."""
        despite: Mapping[str, str] = {}
        code = _code(opened.request)
        for _ in range(MOST_LOOKS):
            decision = evaluation.decision
            if not isinstance(decision, Hold):
                return evaluation, facts, None
            self._check_time(deadline, "to ask for an approval")
            question = Question(
                case=case,
                request=opened.request,
                identity=opened.identity,
                evaluation=evaluation,
                hold=decision,
                mark=mark,
                despite=despite,
            )
            settled = await approving.settle(question)
            match settled:
                case Held():
                    return settled
                case Settled(decision=Challenge() as challenge) if code is not None:
                    code_once, code = code, None
                    evaluation, facts = await self._prove(opened, challenge, code_once, evaluation, facts)
                    if isinstance(evaluation.decision, Challenge):
                        return evaluation, facts, None
                case Settled():
                    return replace(evaluation, decision=settled.decision), facts, settled.holder_secret
                case Again():
                    despite = settled.despite
                    facts = replace(facts, grants=await self._grants(opened))
                    evaluation = self._decide(opened, facts)
                case _:
                    assert_never(settled)
        raise StateUnavailable("what was approved did not count, again and again; is the policy being changed?")

    async def _grants(self, opened: OpenCase) -> tuple[Grant, ...]:
        """The grants of the session as they are now."""
        identity = opened.identity
        found = await self._around.store.look_up(
            identity.subject, identity.session or "", fingerprint=fingerprint(opened.request), now=opened.case.now
        )
        return found.grants

    def _check_time(self, deadline: float | None, what: str) -> None:
        """Raise `StateUnavailable` if the answer would come too late."""
        if deadline is not None and deadline - self._around.monotonic() < COMMIT_MARGIN:
            raise StateUnavailable(f"the caller's deadline is too near {what}")

    async def _use_up_grants(
        self, opened: OpenCase, evaluation: Evaluation, facts: Facts, deadline: float | None
    ) -> Evaluation:
        """Use up what an allow rests on, all or none; a lost race decides again without it (design section 4)."""
        while isinstance(evaluation.decision, Allow):
            limited = tuple(grant for grant in evaluation.decision.grants if grant.uses is not None)
            if not limited:
                break
            subject, spent = limited[0].subject, tuple(grant.id for grant in limited)
            self._check_time(deadline, "to use up a grant")
            if await self._around.store.consume(
                subject, spent, fingerprint=fingerprint(opened.request), now=opened.case.now
            ):
                break
            facts = replace(facts, grants=tuple(grant for grant in facts.grants if grant.id not in spent))
            evaluation = self._decide(opened, facts)
        return evaluation

    def _refuse(self, case: Case, error: Exception) -> bytes:
        if not isinstance(error, Refused):
            _log.error("check-failed", decision_id=case.asked.decision_id, exc_info=error)
        return self._answering.answer(case, Evaluation(decision=refusal(error)), detail=detail_of(error))


def _open(case: Case, request: RequestView, identity: Identity) -> OpenCase:
    return OpenCase(case, request, identity, case.policies.candidates(request, identity))


def _code(request: RequestView) -> str | None:
    return request.http.header(CODE_HEADER) if request.http is not None else None
