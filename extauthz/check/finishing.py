"""The second half of a Check: what becomes of one that could not be answered at once. Together with `checker`, this is
every way a request becomes allowed.

The caller becomes known, facts are looked up, a one-time code that came along is proven, approvals are asked for, and
the grants that an allow rests on are used up. The rule kept here: what was revoked while any of that was waited for
counts, and so does what decides by then who is known.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import assert_never

from msgspec.structs import replace

from extauthz.check.answering import Answering
from extauthz.check.approving import Again, Approving, Question, Settled
from extauthz.check.case import Case
from extauthz.check.gathering import Gathered, Gatherer
from extauthz.check.holding import Held
from extauthz.check.leaving import left_by
from extauthz.check.opened import OpenCase, Opened, Unidentified, Unrecorded
from extauthz.check.proof.proving import LockedOut, NotProven, Proven, Proving, TicketUsed
from extauthz.check.proof.telling import Trial, tell_used
from extauthz.check.proof.totp import prove_totp
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.check.waits import Waits
from extauthz.errors import StateUnavailable
from extauthz.identity.lookups import Answer, Answers, Awaiting, Done, Lookup, Unreachable, UsedBefore, UseProof
from extauthz.policy.decide import decide, needs
from extauthz.stepup.fingerprint import fingerprint
from extauthz.stepup.holder import choose_holder
from extauthz.values.decisions import Allow, Challenge, Decision, Evaluation, Hold
from extauthz.values.grants import Facts, Grant
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

CODE_HEADER = "x-extauthz-otp"
COMMIT_MARGIN = 0.05
"""Seconds of the caller's deadline that must be left when grants are used up (design section 4), and that attribute
sources leave."""
MOST_LOOKS = 4
"""How often one Check is decided because an approval was given while it was asked for."""


class Finishing:
    """Finishes Checks; belongs to one event loop. `ruling` tells what decides now."""

    def __init__(
        self, ruling: Callable[[], Ruling], surroundings: Surroundings, gatherer: Gatherer, answering: Answering
    ) -> None:
        self._ruling = ruling
        self._around = surroundings
        self._gatherer = gatherer
        self._answering = answering
        self._revocations = surroundings.revocations

    async def complete(self, opened: Opened, *, deadline: float | None) -> bytes | Held:
        """As `Checker.finish`."""
        case, approving = opened.case, self._around.approving
        mark = 0 if approving is None else approving.mark
        waits = Waits(self._around.clock, case.asked.waits)
        try:
            if isinstance(opened, Unrecorded):
                return (await self._answering.answer_later(case, opened.evaluation)).payload
            if isinstance(opened, Unidentified):
                with waits.on("identity"):
                    opened = await self._identify(opened)
                case = opened.case
                self._check_revocations(opened.identity, case.now)
            gathered = await self._gatherer.gather(
                opened.candidates,
                request=opened.request,
                identity=opened.identity,
                local=case.facts,
                now=case.now,
                waits=waits,
                patience=None if deadline is None else deadline - self._around.monotonic() - COMMIT_MARGIN,
            )
            facts = gathered.facts
            case = case.but(facts=facts, inquiry=gathered.inquiry)
            evaluation = self._decide(opened, facts)
            code = _code(opened.request)
            if isinstance(evaluation.decision, Challenge) and code is not None:
                case = self._linked(case)
                with waits.on("store"):
                    evaluation, facts = await self._prove(opened, case, evaluation.decision, code, evaluation, facts)
            if isinstance(evaluation.decision, Hold) and approving is not None:
                case = self._linked(case)
                with waits.on("store"):
                    settled = await self._approve(approving, opened, case, evaluation, facts, mark, deadline)
                if isinstance(settled, Held):
                    asked = settled.asked.but(waits=waits.noted)
                    return replace(settled, asked=asked, began_ns=self._around.clock())
                evaluation, facts, secret = settled
                case = case.but(holder_secret=secret)
            if _limited(evaluation.decision):
                case = self._linked(case)
                with waits.on("store"):
                    evaluation = await self._use_up_grants(opened, case, evaluation, facts, deadline)
            case = case.but(waits=waits.noted)
            # Again, after all that was waited for: what was revoked meanwhile counts.
            self._check_revocations(opened.identity, case.now)
            return await self._say(opened, case, evaluation, gathered)
        except Exception as error:  # noqa: BLE001 - every path ends in an explicit answer
            return self._answering.refuse(case.but(waits=waits.noted), error)

    async def _identify(self, waiting: Unidentified) -> OpenCase:
        """Ask until the caller is known. What decides is what does by then: an answer may have brought new keys."""
        case, request, asked = waiting.case, waiting.request, waiting.case.asked

        def identify(answers: Answers) -> OpenCase | Awaiting:
            ruling = self._ruling()
            answers = {**asked.proofs, **answers}
            known = ruling.resolver.identify(request, now=case.now, came_at=asked.came_at, answers=answers)
            if isinstance(known, Awaiting):
                return known
            used: Answers = {lookup: answer for lookup, answer in answers.items() if isinstance(lookup, UseProof)}
            proven = asked.but(proofs=used) if used else asked
            found = case.but(asked=proven, identity=known, policies=ruling.policies, facts=ruling.facts)
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

    def _linked(self, case: Case) -> Case:
        """The case with the span that the decision will be: something is to link to it."""
        return case.linked(self._answering.span_of(case))

    async def _prove(
        self, opened: OpenCase, case: Case, challenge: Challenge, code: str, evaluation: Evaluation, facts: Facts
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
        chronicle = self._around.chronicle
        Trial(chronicle=chronicle, subject=identity.subject, factor="totp", origin=case.origin).tell(outcome)
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
                    evaluation, facts = await self._prove(opened, case, challenge, code_once, evaluation, facts)
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
        self, opened: OpenCase, case: Case, evaluation: Evaluation, facts: Facts, deadline: float | None
    ) -> Evaluation:
        """Use up what an allow rests on, all or none; a lost race decides again without it (design section 4)."""
        while limited := _limited(evaluation.decision):
            subject, spent = limited[0].subject, tuple(grant.id for grant in limited)
            self._check_time(deadline, "to use up a grant")
            used = await self._around.store.consume(
                subject, spent, fingerprint=fingerprint(opened.request), now=opened.case.now
            )
            if used:
                tell_used(self._around.chronicle, limited, used.used, origin=case.origin)
                break
            facts = replace(facts, grants=tuple(grant for grant in facts.grants if grant.id not in spent))
            evaluation = self._decide(opened, facts)
        return evaluation


def _open(case: Case, request: RequestView, identity: Identity) -> OpenCase:
    return OpenCase(case, request, identity, case.policies.candidates(request, identity))


def _limited(decision: Decision) -> tuple[Grant, ...]:
    """The grants that an allow uses up."""
    return tuple(grant for grant in decision.grants if grant.uses is not None) if isinstance(decision, Allow) else ()


def _code(request: RequestView) -> str | None:
    return request.http.header(CODE_HEADER) if request.http is not None else None
