"""What people and callers do with approvals, as it is kept in a store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from approval.asking import ANNA, BEN, CALLER, CLEO, DORA, NOW, PROOF, ROBOT, RULE, UMA, UMA_ASKING, person, terms
from store.one_loop import run

from extauthz.approval.course import Operator
from extauthz.approval.refusals import Refusal
from extauthz.approval.telling.addressing import Addressees
from extauthz.approval.terms import Circle, Step, Terms
from extauthz.check import approval_clerk
from extauthz.check.approval_absences import LONGEST_ABSENCE, LONGEST_NOTE, Absences
from extauthz.check.approval_clerk import Clerk
from extauthz.check.approval_viewing import Seen, Viewing
from extauthz.check.approvals import MOST_TRIES, Approvals, Asked, BrokenGlass, Granted, Pending, Refused
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Kind, Revocation
from extauthz.store.approvals import ApprovalQuery
from extauthz.store.memory import MemoryStore
from extauthz.values.approvals import Absence, Approval, Approver, Picture, Requesters, Stance
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, ChallengeDemand
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.letters import EVENT_KINDS

REQUESTERS = Requesters(caller="uma", persons=("uma",), subjects=(CALLER, ROBOT))
PICTURE = Picture(user="u1", method="POST", path="/v1/transfers", show={"amount": "200000"})
BOARD = Circle(groups=frozenset({"board"}))
EVERYTHING = ApprovalQuery()


class Place:
    """A store, the rules in force, and as many servers as a test needs."""

    def __init__(self, store: MemoryStore | None = None, *, hooks: Addressees | None = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.now = NOW
        self.rules: dict[str, Terms] = {RULE: terms(min=1)}
        self._number = 0
        self.feed = RevocationFeed(self.store, max_staleness=60.0, now=lambda: self.now)
        self.approvals = self.server(hooks)
        self.viewing = Viewing(approvals=self.approvals)
        self.absences = Absences(approvals=self.approvals)

    def server(self, hooks: Addressees | None = None) -> Approvals:
        return Approvals(
            store=self.store,
            terms_of=lambda rule, _: self.rules.get(rule),
            clock=lambda: self.now,
            entropy=self._entropy,
            keep=3600.0,
            most_open=3,
            schedules={},
            addressees=Addressees() if hooks is None else hooks,
            revocations=self.feed,
        )

    def _entropy(self, size: int) -> bytes:
        self._number += 1
        return self._number.to_bytes(size, "big")

    def ask(
        self,
        binding: str = "b",
        *,
        rule: str = RULE,
        glass: str | None = None,
        by: Approver = UMA_ASKING,
        despite: str = "",
        requesters: Requesters = REQUESTERS,
        subject: Subject = CALLER,
    ) -> Asked:
        demand = ApprovalDemand(
            rule=rule,
            binding=binding,
            min=1,
            expires_in=900.0,
            hold=20.0,
            bind="action",
            subject=subject,
            session="s1",
            requesters=requesters,
        )
        return run(
            self.approvals.ask(
                demand,
                holder="cookie:c",
                picture=PICTURE,
                since=NOW - 100,
                glass=None if glass is None else self.glass(glass, by),
                despite=despite,
            )
        )

    def glass(self, reason: str, by: Approver) -> BrokenGlass:
        fresh = ChallengeDemand(rule=RULE, factors=("webauthn",), max_age=60.0, binding="glass", uses=1)
        return BrokenGlass(offer=BreakGlassOffer(by=by, demand=fresh, valid_for=60.0), reason=reason, proof=PROOF)

    def asked(self, binding: str = "b") -> str:
        asked = self.ask(binding)
        assert isinstance(asked, Pending)
        return asked.approval.id

    def vote(self, id_: str, approver: Approver, stance: Stance = "approve") -> Approval | Refusal:
        return run(self.approvals.vote(id_, approver, stance=stance, reason="seen", proof=None, channel="page"))

    def grants(self) -> Sequence[Grant]:
        return run(self.store.look_up(CALLER, "s1", fingerprint="", now=self.now)).grants

    def kept(self, id_: str) -> Approval:
        found = run(self.store.approval(id_))
        assert found is not None
        return found

    def revoke(self, kind: Kind, subject: Subject) -> None:
        revocation = Revocation(kind=kind, subject=subject, at=self.now, until=self.now + 9e6)
        run(self.store.put_revocation(revocation, now=self.now))
        run(self.feed.load())


@pytest.fixture
def place() -> Place:
    found = Place()
    run(found.feed.load())
    return found


def word(outcome: Approval | Refusal) -> str | None:
    return outcome.word if isinstance(outcome, Refusal) else None


# Asking


def test_what_is_asked_is_kept_with_all_that_its_grant_is_tied_to(place: Place) -> None:
    asked = place.ask()
    assert isinstance(asked, Pending)
    kept = place.kept(asked.approval.id)
    assert kept == asked.approval
    assert (kept.rule, kept.binding, kept.bind, kept.subject) == (RULE, "b", "action", CALLER)
    assert (kept.session, kept.holder, kept.since, kept.requesters) == ("s1", "cookie:c", NOW - 100, REQUESTERS)
    assert (kept.opened_at, kept.expires_at, kept.due_at, kept.version) == (NOW, NOW + 900, NOW + 900, 1)
    assert kept.picture == PICTURE


def test_the_same_request_again_joins_what_waits(place: Place) -> None:
    first = place.asked()
    again, other = place.ask(), place.ask("another amount")
    assert isinstance(again, Pending)
    assert isinstance(other, Pending)
    assert again.approval.id == first != other.approval.id


def test_what_is_overdue_is_asked_anew(place: Place) -> None:
    first = place.asked()
    place.now += 900
    assert place.asked() != first


def test_what_was_denied_stays_denied_for_its_cooldown(place: Place) -> None:
    id_ = place.asked()
    place.now += 10
    place.vote(id_, ANNA, "deny")
    asked = place.ask()
    assert asked == Refused(reason="approval-denied", approval=place.kept(id_), until=NOW + 610)
    assert isinstance(place.ask(glass="fire"), Refused), "no glass is broken to get around an answer"
    place.now += 600
    assert isinstance(place.ask(), Pending)


def test_what_was_given_and_not_used_is_not_asked_again_but_where_it_does_not_count(place: Place) -> None:
    id_ = place.asked()
    place.vote(id_, ANNA)
    assert place.ask() == Granted(approval=place.kept(id_))
    assert isinstance(place.ask(despite=id_), Pending)
    assert run(place.store.consume(CALLER, (id_,), fingerprint="x", now=NOW))
    assert isinstance(place.ask("b"), Pending)


def test_one_subject_does_not_flood_who_answers(place: Place) -> None:
    for number in range(3):
        place.asked(f"b{number}")
    assert place.ask("one more") == Refused(reason="overloaded")
    assert isinstance(place.ask("one more", subject=ROBOT), Pending)


# Answering


def test_an_answer_leaves_the_grant_in_the_same_step(place: Place) -> None:
    id_ = place.asked()
    assert place.grants() == ()
    done = place.vote(id_, ANNA)
    assert done == place.kept(id_)
    assert place.kept(id_).version == 2
    assert [grant.id for grant in place.grants()] == [id_]


def test_what_is_refused_is_not_written(place: Place) -> None:
    id_ = place.asked()
    assert word(place.vote(id_, DORA)) == "not-an-approver"
    assert word(place.vote("nothing", ANNA)) == "not-found"
    assert place.kept(id_).version == 1


def test_what_is_found_overdue_is_kept_as_expired(place: Place) -> None:
    id_ = place.asked()
    place.now += 900
    assert word(place.vote(id_, ANNA)) == "not-pending"
    assert (place.kept(id_).state, place.kept(id_).version) == ("expired", 2)


def test_terms_are_those_of_the_rule_in_force_now(place: Place) -> None:
    id_ = place.asked()
    del place.rules[RULE]
    assert word(place.vote(id_, ANNA)) == "rule-gone"
    place.rules[RULE] = terms(min=2)
    assert word(place.vote(id_, ANNA)) is None
    assert place.kept(id_).state == "pending"


class InBetween(MemoryStore):
    """Somebody else acts before who has read an approval goes on: at each of the next `times` reads."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0
        self.act: Callable[[], Awaitable[object]] | None = None

    async def approval(self, id_: str) -> Approval | None:
        found = await super().approval(id_)
        if self.times and self.act is not None:
            self.times -= 1
            act, self.act = self.act, None
            await act()
            self.act = act
        return found


def test_two_who_answer_at_the_same_moment_are_both_counted() -> None:
    store = InBetween()
    place = Place(store)
    run(place.feed.load())
    place.rules[RULE] = terms(min=2)
    id_ = place.asked()
    store.times, store.act = (
        1,
        lambda: place.server().vote(id_, BEN, stance="approve", reason="", proof=None, channel="api"),
    )
    assert word(place.vote(id_, ANNA)) is None
    kept = place.kept(id_)
    assert [vote.approver.person for vote in kept.votes] == ["ben", "anna"]
    assert (kept.state, kept.version) == ("approved", 3)
    assert len(place.grants()) == 1


def test_one_person_at_two_servers_at_the_same_moment_is_one_vote() -> None:
    store = InBetween()
    place = Place(store)
    run(place.feed.load())
    place.rules[RULE] = terms(min=2)
    id_ = place.asked()
    store.times, store.act = (
        1,
        lambda: place.server().vote(id_, ANNA, stance="approve", reason="", proof=None, channel="api"),
    )
    assert word(place.vote(id_, ANNA)) == "voted-already"
    assert len(place.kept(id_).votes) == 1


def test_who_comes_too_late_again_and_again_is_told() -> None:
    store = InBetween()
    place = Place(store)
    run(place.feed.load())
    place.rules[RULE] = terms(min=100)
    id_ = place.asked()
    crowd = iter(range(10 * MOST_TRIES))

    def another() -> Awaitable[object]:
        one = person(f"p{next(crowd)}", "treasury")
        return place.server().vote(id_, one, stance="approve", reason="", proof=None, channel="page")

    store.times, store.act = 10 * MOST_TRIES, another
    assert word(place.vote(id_, ANNA)) == "conflict"
    assert len(place.kept(id_).votes) == MOST_TRIES


@pytest.mark.parametrize("kind", ["block", "tokens"])
def test_nothing_is_given_to_who_was_revoked_meanwhile(place: Place, kind: Kind) -> None:
    id_ = place.asked()
    place.now += 10
    place.revoke(kind, CALLER)
    assert word(place.vote(id_, ANNA)) == "subject-blocked"
    kept = place.kept(id_)
    assert kept.state == "cancelled"
    assert kept.cancelled is not None
    assert kept.cancelled.by == "operator:revocations"
    assert place.grants() == ()


# Ending


def test_who_asks_takes_it_back(place: Place) -> None:
    id_ = place.asked()
    assert word(run(place.approvals.cancel(id_, by=ANNA))) == "not-the-requester"
    assert word(run(place.approvals.cancel(id_, by=CALLER, reason="a mistake"))) is None
    assert place.kept(id_).state == "cancelled"
    assert word(place.vote(id_, ANNA)) == "not-pending"


@pytest.mark.parametrize("by", [CALLER, UMA, BEN, Operator(name="root")])
def test_what_is_revoked_is_gone_when_it_returns(place: Place, by: Approver | Subject | Operator) -> None:
    id_ = place.asked()
    place.vote(id_, ANNA)
    assert word(run(place.approvals.revoke(id_, by=by))) is None
    assert place.grants() == ()
    assert not run(place.store.consume(CALLER, (id_,), fingerprint="x", now=NOW))


# Break-glass


def test_a_glass_is_broken_where_nobody_has_asked_yet(place: Place) -> None:
    asked = place.ask(glass="the house is on fire")
    assert isinstance(asked, Granted)
    grant = place.grants()[0]
    assert (grant.id, grant.expires_at) == (asked.approval.id, NOW + 60)
    assert grant.approval is not None
    assert grant.approval.break_glass is not None
    assert place.kept(grant.id).state == "approved"


def test_a_glass_is_broken_of_what_waits(place: Place) -> None:
    id_ = place.asked()
    asked = place.ask(glass="the house is on fire")
    assert isinstance(asked, Granted)
    assert asked.approval == place.kept(id_)
    assert [grant.id for grant in place.grants()] == [id_]


@pytest.mark.parametrize("waits", [False, True])
def test_a_glass_stays_whole_without_a_reason_or_for_somebody_else(place: Place, waits: bool) -> None:
    if waits:
        place.asked()
    for reason, by, says in ((" ", UMA_ASKING, "needs-reason"), ("fire", ANNA, "not-the-requester")):
        asked = place.ask(glass=reason, by=by)
        assert isinstance(asked, Refused)
        assert (asked.reason, asked.refusal) == ("break-glass-refused", Refusal(word=says))  # type: ignore[arg-type]
    assert place.grants() == ()


def test_what_was_not_justified_is_taken_from_the_store(place: Place) -> None:
    asked = place.ask(glass="fire")
    assert isinstance(asked, Granted)
    id_ = asked.approval.id
    unreviewed = ApprovalQuery(unreviewed=True)
    assert [one.approval.id for one in run(place.viewing.listed(unreviewed, ANNA, most=9)).seen] == [id_]
    done = run(place.approvals.review(id_, ANNA, verdict="unjustified", reason="no fire", proof=None))
    assert word(done) is None
    assert place.grants() == ()
    assert run(place.viewing.listed(unreviewed, ANNA, most=9)).seen == ()


# Absence


def away(place: Place, approver: Approver, delegate: str | None, *, lasts: float = 1000.0, note: str = "") -> object:
    return run(place.absences.put(approver, since=place.now, until=place.now + lasts, delegate=delegate, note=note))


def test_a_delegate_answers_until_the_other_one_is_back(place: Place) -> None:
    absence = away(place, ANNA, " DORA ")
    assert isinstance(absence, Absence)
    assert absence.delegate == "dora"
    assert run(place.absences.concerning(DORA)) == (absence,) == run(place.absences.concerning(ANNA))
    assert run(place.absences.concerning(BEN)) == ()
    first, second = place.asked(), place.asked("b2")
    assert word(place.vote(first, DORA)) is None
    assert place.kept(first).votes[0].in_place_of == ANNA
    assert not run(place.absences.end(DORA, absence.id)), "it is not hers to end"
    assert run(place.absences.end(ANNA, absence.id))
    assert word(place.vote(second, DORA)) == "not-an-approver"


@pytest.mark.parametrize(
    ("delegate", "lasts", "note", "says"),
    [
        ("dora", 0.0, "", "no-time"),
        ("dora", -5.0, "", "no-time"),
        ("dora", LONGEST_ABSENCE + 1, "", "too-long"),
        ("dora", 60.0, "x" * (LONGEST_NOTE + 1), "note-too-long"),
        (" ", 60.0, "", "names-nobody"),
        ("ANNA", 60.0, "", "names-yourself"),
    ],
)
def test_what_is_no_absence_is_refused(place: Place, delegate: str, lasts: float, note: str, says: str) -> None:
    assert away(place, ANNA, delegate, lasts=lasts, note=note) == says
    assert run(place.absences.concerning(ANNA)) == ()


@pytest.mark.parametrize("kind", ["block", "tokens"])
def test_an_absence_ends_with_the_login_that_it_was_entered_by(place: Place, kind: Kind) -> None:
    away(place, ANNA, "dora")
    id_ = place.asked()
    place.now += 10
    place.revoke(kind, ANNA.subject)
    assert word(place.vote(id_, DORA)) == "not-an-approver"


def test_nobody_answers_for_another_while_nobody_knows_who_is_blocked() -> None:
    place = Place()  # whose feed was never loaded
    away(place, ANNA, "dora")
    assert word(place.vote(place.asked(), DORA)) == "not-an-approver"


# Seeing


def seen(place: Place, viewer: Approver | None) -> list[str]:
    return [one.approval.id for one in run(place.viewing.listed(EVERYTHING, viewer, most=50)).seen]


def test_only_those_see_an_approval_whom_it_concerns(place: Place) -> None:
    place.rules["other/rule"] = terms(circle=BOARD)
    treasury, board = place.asked(), place.ask(rule="other/rule")
    assert isinstance(board, Pending)
    assert seen(place, ANNA) == [treasury]
    assert seen(place, DORA) == [board.approval.id]
    assert seen(place, person("stranger")) == []
    assert set(seen(place, UMA)) == {treasury, board.approval.id} == set(seen(place, None))
    assert run(place.viewing.show(treasury, DORA)) is None
    assert run(place.viewing.show("nothing", None)) is None


def test_who_has_answered_still_sees_it_when_the_rule_is_gone(place: Place) -> None:
    id_ = place.asked()
    place.vote(id_, ANNA)
    del place.rules[RULE]
    assert (seen(place, ANNA), seen(place, BEN)) == ([id_], [])


def shown(place: Place, id_: str, viewer: Approver | None) -> Seen:
    found = run(place.viewing.show(id_, viewer))
    assert found is not None
    return found


def test_everybody_sees_what_they_can_do(place: Place) -> None:
    place.rules[RULE] = terms(min=2, factors=frozenset({"hwk"}), max_age=60.0)
    away(place, CLEO, "dora")
    id_ = place.asked()
    anna, uma, dora, operator = (shown(place, id_, one) for one in (ANNA, UMA, DORA, None))
    assert (anna.against, anna.in_place_of, anna.may_cancel) == (None, None, False)
    assert anna.proof == Refusal(word="needs-factor", factors=frozenset({"hwk"}), max_age=60.0)
    assert (uma.against, uma.asked, uma.may_cancel) == (Refusal(word="requester"), True, True)
    assert (dora.against, dora.in_place_of) == (None, CLEO)
    assert operator.against == Refusal(word="not-an-approver")
    assert operator.may_cancel
    assert (anna.tally.approve, anna.tally.deny) == (0, 0)


def test_what_is_overdue_is_seen_as_expired(place: Place) -> None:
    id_ = place.asked()
    place.now += 900
    one = shown(place, id_, ANNA)
    assert (one.approval.state, one.against) == ("expired", Refusal(word="not-pending"))


def test_a_list_of_what_one_can_answer_has_nothing_else(place: Place) -> None:
    place.rules[RULE] = terms(min=2)
    first, second = place.asked(), place.asked("b2")
    place.vote(first, ANNA)
    mine = run(place.viewing.listed(EVERYTHING, ANNA, mine=True, most=50))
    assert [one.approval.id for one in mine.seen] == [second]


def test_pages_have_each_approval_once_and_none_too_many(place: Place) -> None:
    ids = []
    for number in range(7):
        place.now += 1
        asked = place.ask(f"b{number}", subject=Subject("", f"spiffe://prod.example.org/{number}"))
        assert isinstance(asked, Pending)
        ids.append(asked.approval.id)
    found: list[str] = []
    before = ""
    while True:
        page = run(place.viewing.listed(EVERYTHING, ANNA, most=3, before=before))
        assert len(page.seen) <= 3
        found += [one.approval.id for one in page.seen]
        before = page.next
        if not before:
            break
    assert found == ids[::-1]


def test_the_past_on_the_like_is_of_the_same_rule_and_subject(place: Place) -> None:
    place.rules["other/rule"] = terms(min=1)
    first = place.asked()
    place.vote(first, ANNA)
    other = place.ask(rule="other/rule")
    assert isinstance(other, Pending)
    place.vote(other.approval.id, ANNA)
    now = place.asked("b2")
    assert [one.id for one in run(place.viewing.past(place.kept(now), BEN))] == [first]
    assert run(place.viewing.past(place.kept(now), person("stranger"))) == ()


# Telling


HOOK = Addressees(webhooks={"hook": frozenset(EVENT_KINDS)})


def told(place: Place) -> list[tuple[str, str]]:
    claims = run(place.store.claim_letters("hook", most=100, lease=60.0, now=place.now))
    assert len({claim.letter.id for claim in claims}) == len(claims)
    return [(claim.letter.kind, claim.letter.event) for claim in claims]


def test_everything_that_happens_is_told_once() -> None:
    store = InBetween()
    place = Place(store, hooks=HOOK)
    run(place.feed.load())
    place.rules[RULE] = terms(min=2, escalate=(Step(after=60.0, circle=BOARD),))
    id_ = place.asked()
    place.ask()  # joins, which is no news
    place.now += 60
    store.times, store.act = (
        1,
        lambda: place.server(HOOK).vote(id_, BEN, stance="approve", reason="", proof=None, channel="page"),
    )
    place.vote(id_, ANNA)
    place.vote(id_, CLEO)  # too late, and not told
    run(place.approvals.revoke(id_, by=CALLER))
    assert sorted(told(place), key=lambda letter: letter[1]) == [
        ("opened", f"{id_}-1-0"),
        ("escalated", f"{id_}-2-0"),
        ("voted", f"{id_}-2-1"),
        ("voted", f"{id_}-3-0"),
        ("approved", f"{id_}-3-1"),
        ("revoked", f"{id_}-4-0"),
    ]


# The clerk


def test_what_is_due_happens_once_whoever_looks() -> None:
    place = Place(hooks=HOOK)
    run(place.feed.load())
    place.rules[RULE] = terms(escalate=(Step(after=60.0, circle=BOARD),))
    id_ = place.asked()
    clerks = [Clerk(approvals=place.server(HOOK)) for _ in range(3)]
    assert [run(clerk.catch_up()) for clerk in clerks] == [0, 0, 0]
    place.now += 60
    assert sum(run(clerk.catch_up()) for clerk in clerks) == 1
    place.now += 840
    assert sum(run(clerk.catch_up()) for clerk in clerks) == 1
    assert place.kept(id_).state == "expired"
    assert sorted(kind for kind, _ in told(place)) == ["escalated", "expired", "opened"]


def test_an_approval_whose_rule_is_gone_or_has_changed_is_not_due_for_ever(place: Place) -> None:
    place.rules[RULE] = terms(escalate=(Step(after=60.0, circle=BOARD),))
    id_ = place.asked()
    clerk = Clerk(approvals=place.approvals)
    del place.rules[RULE]
    place.now += 60
    assert run(clerk.catch_up()) == 1
    assert run(clerk.catch_up()) == 0
    assert (place.kept(id_).state, place.kept(id_).due_at) == ("pending", NOW + 900)


class Away(MemoryStore):
    """Out of reach for a while."""

    looks = 0

    async def due_approvals(self, *, most: int, now: float) -> tuple[Approval, ...]:
        self.looks += 1
        if self.looks <= 2:
            raise StateUnavailable("store: away")
        return await super().due_approvals(most=most, now=now)


def test_the_clerk_goes_on_when_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_clerk, "LOOK_EVERY", 0.001)
    place = Place(Away())
    id_ = place.asked()
    place.now += 900

    async def until_expired() -> None:
        follower = asyncio.ensure_future(Clerk(approvals=place.approvals).follow())
        news = place.store.approval_news()
        while (found := await place.store.approval(id_)) is not None and found.state == "pending":
            await anext(news)
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower

    run(asyncio.wait_for(until_expired(), 30.0))
    assert place.kept(id_).state == "expired"
