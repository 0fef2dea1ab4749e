"""Approvals that are kept: asked for, answered, and ended, with what is told of them."""

from collections.abc import Awaitable

import pytest
from approval.asking import ANNA, BEN, CALLER, DORA, NOW, ROBOT, RULE, UMA, UMA_ASKING, person, terms
from approval.kept import PICTURE, REQUESTERS, InBetween, Place, word
from store.one_loop import run

from extauthz.approval.course import Operator
from extauthz.approval.refusals import Refusal
from extauthz.check.approvals import MOST_TRIES, Granted, Pending, Refused
from extauthz.identity.revocations import Kind
from extauthz.store.approvals import ApprovalQuery
from extauthz.values.approvals import Approver
from extauthz.values.identity import Subject

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
        assert (asked.reason, asked.refusal) == ("break-glass-refused", Refusal(word=says))  # type: ignore[arg-type]  # it is one of these words
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
