"""Several requesters, approvers, clocks and servers, whatever they do: each answer is what the naive model says."""

import itertools
from collections.abc import Awaitable, Callable
from functools import partial

from approval.asking import APP, NOW
from approval.cashbox import HOLDER, SCHEDULES, TERMS, Spelling, approver, requesters, rule_named
from approval.model import COOLDOWN, NEEDED, PEOPLE, RULES, VALID, WAITS, Away, Rule, Told
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store.one_loop import run

from extauthz.approval.counting import tally
from extauthz.approval.course import Operator
from extauthz.check.approval_absences import Absences
from extauthz.check.approval_clerk import Clerk
from extauthz.check.approvals import Approvals, BrokenGlass, Granted, Pending, Refused
from extauthz.store.approvals import MOST_ALIKE
from extauthz.store.memory import MemoryStore
from extauthz.values.approvals import Absence, Approval, Approver, Picture, Proof, Requesters, Verdict
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, ChallengeDemand
from extauthz.values.identity import Subject

CLOSE = 70.0
"""Seconds around the end of a grant in which servers whose clocks differ may see it differently."""

# Most of what happens happens soon.
Pauses = st.sampled_from([0.5, 0.5, 7.0, 7.0, 50.0, 50.0, 113.0, 113.0, 310.0, 905.0, 20_000.0])
Numbers = st.integers(0, 999)
Names = st.sampled_from(PEOPLE)
Askers = st.sampled_from(("uma", "vic"))
Servers = st.integers(0, 2)
Spellings: st.SearchStrategy[Spelling] = st.sampled_from(("plain", "shouted", "elsewhere"))
Rules: st.SearchStrategy[Rule] = st.sampled_from(RULES)
Sessions = st.sampled_from(("s1", "s1", "s1", "s2"))


class InBetween(MemoryStore):
    """Lets somebody else act after the next read of an approval, before who has read it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def approval(self, id_: str) -> Approval | None:
        found = await super().approval(id_)
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            await act()
        return found


class ManyHands(RuleBasedStateMachine):
    @initialize(
        skews=st.tuples(st.just(0.0), st.floats(-30, 0), st.floats(0, 30)),
        start=st.sampled_from([NOW, NOW + 20_000]),
        absent=st.lists(st.tuples(Names, Names), max_size=4),
    )
    def begin(self, skews: tuple[float, float, float], start: float, absent: list[tuple[str, str]]) -> None:
        self.store = InBetween()
        self.now = start
        self.skews = skews
        self.numbers = itertools.count(1)
        self.servers = [
            Approvals(
                store=self.store,
                terms_of=lambda name, _: TERMS.get(rule_named(name)),
                clock=partial(self.at, server),
                entropy=lambda size: next(self.numbers).to_bytes(size, "big"),
                keep=1e9,
                most_open=50,
                schedules=SCHEDULES,
            )
            for server in range(len(skews))
        ]
        self.told: dict[str, Told] = {}
        self.away: list[Away] = []
        for name, delegate in absent:
            self.leaves(name, delegate, 80_000.0, 0)

    def at(self, server: int) -> float:
        return self.now + self.skews[server]

    def picked(self, number: int) -> tuple[str, Told]:
        """One of all, more often one of those that something may come of."""
        ids = list(self.told) + 4 * [id_ for id_, told in self.told.items() if told.state == "pending"]
        id_ = ids[number % len(ids)]
        return id_, self.told[id_]

    def meant(self, name: str, told: Told) -> str:
        """Who that is: perhaps who has answered already, or who stands in for them."""
        if name in PEOPLE:
            return name
        voter = told.ballots[0].by if told.ballots else "anna"
        delegates = [one.delegate for one in self.away if one.who == voter and one.delegate is not None]
        return delegates[0] if delegates and name == "delegate" else voter

    @rule(seconds=Pauses)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=Askers, actor=st.none() | Names, session=Sessions, of=Rules, server=Servers, breaks=st.integers(0, 5))
    def asks(self, name: str, actor: str | None, session: str, of: Rule, server: int, breaks: int) -> None:
        now = self.at(server)
        by = Approver(subject=Subject(APP, f"{name}-1"), person=f"{name}@example.com")
        fresh = ChallengeDemand(rule=of, factors=("webauthn",), max_age=60.0, binding="glass", uses=1)
        glass = BrokenGlass(
            offer=BreakGlassOffer(by=by, demand=fresh, valid_for=VALID),
            reason="fire",
            proof=Proof(factor="hwk", at=now),
        )
        asked = run(
            self.servers[server].ask(
                ApprovalDemand(
                    rule=f"cashbox/{of}",
                    binding=of,
                    min=NEEDED[of],
                    expires_in=WAITS,
                    hold=0.0,
                    bind="action",
                    subject=by.subject,
                    session=session,
                    requesters=requesters(name, actor),
                ),
                holder=HOLDER,
                picture=Picture(),
                since=None,
                glass=glass if breaks == 0 else None,
            )
        )
        alike = [one for one in self.told.values() if (one.requester, one.rule) == (name, of)]
        here = [one for one in alike if one.session == session]
        before = here[-1] if here else None
        denials = [one for one in alike if one.denies(now)]
        places = sum(one.state in ("pending", "cancelled") and now < one.opened + WAITS for one in alike)
        if asked.approval is None or (id_ := asked.approval.id) not in self.told:
            assert before is None or not self.stands(before, now, sure=True), "a second one is open for the same"
            assert not denials, "what was denied is asked for elsewhere"
        if asked.approval is None:
            assert isinstance(asked, Refused)
            assert (asked.reason, places) == ("overloaded", MOST_ALIKE)
            return
        if id_ not in self.told:
            assert breaks == 0 or places < MOST_ALIKE
            asking = frozenset({name} if actor is None else {name, actor})
            self.told[id_] = before = Told(of, asking, name, session, opened=now, last=now)
        elif self.told[id_] in denials:
            assert before is None or before.denies(now) or not self.stands(before, now, sure=True)
            before = self.told[id_]
        else:
            assert before is self.told[id_], "it joins the newest"
            assert self.stands(before, now, sure=False)
        if before.state == "pending" and breaks == 0:
            moment = before.look(now)
            before.state, before.given_at, before.broken, before.last = "approved", moment, True, moment
        match asked:
            case Pending():
                assert before.state == "pending"
            case Granted():
                assert before.state == "approved"
            case Refused():
                assert (asked.reason, asked.until) == ("approval-denied", before.denied_at + COOLDOWN)

    def stands(self, told: Told, now: float, *, sure: bool) -> bool:
        """Whether the same request joins this one; near the end of its grant it may or may not."""
        if told.state == "pending":
            return now < told.opened + WAITS
        if told.state in ("denied", "cancelled"):
            return told.denies(now)
        grace = -CLOSE if sure else CLOSE
        return told.is_good(told.requester, told.session, now - grace)

    @precondition(lambda self: self.told)
    @rule(
        number=Numbers,
        name=Names | st.sampled_from(("voter", "delegate")),
        spelling=Spellings,
        approves=st.booleans(),
        server=Servers,
        meanwhile=st.none() | st.tuples(Names, Spellings, st.booleans(), Servers),
    )
    def somebody_answers(
        self,
        number: int,
        name: str,
        spelling: Spelling,
        approves: bool,
        server: int,
        meanwhile: tuple[str, Spelling, bool, int] | None,
    ) -> None:
        id_, told = self.picked(number)
        name = self.meant(name, told)
        second: list[bool] = []

        async def answer(name: str, spelling: Spelling, approves: bool, server: int) -> bool:
            outcome = await self.servers[server].vote(
                id_,
                approver(name, spelling),
                stance="approve" if approves else "deny",
                reason="",
                proof=None,
                channel="page",
            )
            return isinstance(outcome, Approval)

        if meanwhile is not None:
            others = meanwhile

            async def comes_before() -> None:
                second.append(await answer(*others))

            self.store.meanwhile = comes_before
        first = run(answer(name, spelling, approves, server))
        self.store.meanwhile = None
        if meanwhile is not None:
            other, _, other_approves, other_server = meanwhile
            assert second == [told.answer(other, other_approves, self.away, self.at(other_server))]
        assert first == told.answer(name, approves, self.away, self.at(server))

    @precondition(lambda self: self.told)
    @rule(number=Numbers, actor=st.none() | Names | st.just("voter"), server=Servers, other_server=st.none() | Servers)
    def somebody_goes_on(self, number: int, actor: str | None, server: int, other_server: int | None) -> None:
        """The request comes again, and perhaps a second time at the same moment: decided as `decide` does."""
        given = [told for told in self.told.values() if told.state == "approved"] or list(self.told.values())
        name, session, of = (told := given[-1 - number % len(given)]).requester, told.session, told.rule
        actor = None if actor is None else self.meant(actor, told)
        servers = [server] if other_server is None else [server, other_server]
        asking = requesters(name, actor)
        subject = Subject(APP, f"{name}-1")
        chosen = [self.enough(subject, session, of, asking, one) for one in servers]
        used = [
            id_
            for id_, one in zip(chosen, servers, strict=True)
            if id_ is not None
            and run(self.store.consume(subject, (id_,), fingerprint=f"check {next(self.numbers)}", now=self.at(one)))
        ]
        assert len(used) <= 1, "a single use was used twice"
        good = {
            id_: told
            for id_, told in self.told.items()
            if told.rule == of
            and told.holds({name} if actor is None else {name, actor})
            and told.is_good(name, session, min(self.at(one) for one in servers))
        }
        for id_ in used:
            assert id_ in good, "nobody has given this"
            self.told[id_].uses += 1
        near_end = any(self.now + CLOSE > told.given_at + VALID for told in good.values())
        assert used or not good or near_end, "what was given does not serve"

    def enough(self, subject: Subject, session: str, of: Rule, asking: Requesters, server: int) -> str | None:
        found = run(self.store.look_up(subject, session, fingerprint="", now=self.at(server)))
        for grant in found.grants:
            assert grant.approval is not None
            if grant.binding != of or grant.holder != HOLDER:
                continue
            kept = run(self.store.approval(grant.approval.id))
            assert kept is not None
            counted = tally(
                TERMS[of],
                grant.approval.votes,
                opened_at=grant.approval.opened_at,
                requesters=asking,
                matter=kept.matter,
            )
            if grant.approval.break_glass is not None or counted.approve >= TERMS[of].min:
                return grant.id
        return None

    @precondition(lambda self: self.told)
    @rule(number=Numbers, name=Names, by_operator=st.booleans(), server=Servers)
    def somebody_cancels(self, number: int, name: str, by_operator: bool, server: int) -> None:
        id_, told = self.picked(number)
        by = Operator(name="root") if by_operator else approver(name, "plain")
        outcome = run(self.servers[server].cancel(id_, by=by))
        moment = told.look(self.at(server))
        may = told.state == "pending" and (by_operator or name in told.asking)
        assert isinstance(outcome, Approval) == may
        if may:
            told.state, told.last = "cancelled", moment
            if not by_operator and any(not one.approves for one in told.ballots):
                told.denied_at = moment

    @precondition(lambda self: self.told)
    @rule(number=Numbers, server=Servers)
    def the_operator_takes_it_back(self, number: int, server: int) -> None:
        id_, told = self.picked(number)
        outcome = run(self.servers[server].revoke(id_, by=Operator(name="root")))
        may = told.state == "approved" and not told.taken_back
        assert isinstance(outcome, Approval) == may
        told.taken_back = told.taken_back or may

    @precondition(lambda self: any(told.broken for told in self.told.values()))
    @rule(number=Numbers, name=Names, spelling=Spellings, justified=st.booleans(), server=Servers)
    def somebody_reviews(self, number: int, name: str, spelling: Spelling, justified: bool, server: int) -> None:
        broken = [id_ for id_, told in self.told.items() if told.broken]
        id_ = broken[number % len(broken)]
        told, now = self.told[id_], self.at(server)
        verdict: Verdict = "justified" if justified else "unjustified"
        outcome = run(
            self.servers[server].review(id_, approver(name, spelling), verdict=verdict, reason="seen", proof=None)
        )
        may = not told.reviewed and bool(told.right_of(name, self.away, max(now, told.last), now))
        assert isinstance(outcome, Approval) == may
        if may:
            told.reviewed = True
            told.taken_back = told.taken_back or not justified

    @rule(name=Names, delegate=st.none() | Names, lasts=st.sampled_from([60.0, 1000.0, 80_000.0]), server=Servers)
    def somebody_goes_away(self, name: str, delegate: str | None, lasts: float, server: int) -> None:
        self.leaves(name, delegate, lasts, server)

    def leaves(self, name: str, delegate: str | None, lasts: float, server: int) -> None:
        since = self.at(server)
        outcome = run(
            Absences(approvals=self.servers[server]).put(
                approver(name, "plain"),
                since=since,
                until=since + lasts,
                delegate=None if delegate is None else f" {delegate.upper()}@example.com",
            )
        )
        assert isinstance(outcome, Absence) == (name != delegate)
        if isinstance(outcome, Absence):
            self.away.append(Away(outcome.id, name, delegate, since, since + lasts))

    @precondition(lambda self: self.away)
    @rule(number=Numbers, name=Names, server=Servers)
    def somebody_comes_back(self, number: int, name: str, server: int) -> None:
        absence = self.away[number % len(self.away)]
        ended = run(Absences(approvals=self.servers[server]).end(approver(name, "elsewhere"), absence.id))
        if ended:
            assert name == absence.who
            self.away.remove(absence)
        else:
            assert name != absence.who or self.now + CLOSE > absence.until

    @rule(server=Servers)
    def a_clerk_looks(self, server: int) -> None:
        run(Clerk(approvals=self.servers[server]).catch_up())
        for told in self.told.values():
            told.look(self.at(server))

    @invariant()
    def everything_is_kept_as_it_was_told(self) -> None:
        for id_, told in self.told.items():
            kept = run(self.store.approval(id_))
            assert kept is not None
            assert (kept.state, len(kept.votes)) == (told.state, len(told.ballots))
            voters = [one for vote in kept.votes for one in (vote.approver, vote.in_place_of) if one is not None]
            humans = [voter.subject.id for voter in voters]
            assert len(set(humans)) == len(humans), "somebody has voted twice"
            assert not {human.removesuffix("-1") for human in humans} & told.asking, "somebody has answered themselves"
            assert all(vote.at < kept.expires_at for vote in kept.votes), "somebody has voted after the end"


TestManyHands = ManyHands.TestCase
TestManyHands.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
