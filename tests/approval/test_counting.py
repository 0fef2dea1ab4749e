"""Counting votes again: by the votes alone, whoever has written them down."""

import pytest
from approval.asking import ANNA, APP, BEN, CALLER, CLEO, DORA, NOW, PROOF, UMA, asked, terms, vote
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extauthz.approval.counting import tally
from extauthz.approval.terms import Circle, Step, Terms
from extauthz.values.approvals import Approver, Proof, Requesters, Vote
from extauthz.values.identity import Subject

ASKED = asked()
ALIAS = replace(ANNA, subject=Subject(APP, "anna-elsewhere"))
RENAMED = replace(ANNA, person="anna-the-second")


def counted(*votes: Vote, by: Terms | None = None, requesters: Requesters = ASKED.requesters) -> tuple[int, int]:
    found = tally(terms() if by is None else by, votes, opened_at=NOW, requesters=requesters, matter=ASKED.matter)
    return found.approve, found.deny


def test_votes_of_distinct_persons_count() -> None:
    assert counted(vote(ANNA), vote(BEN), vote(CLEO, "deny")) == (2, 1)
    assert counted() == (0, 0)


@pytest.mark.parametrize("again", [ANNA, ALIAS, RENAMED], ids=["herself", "as another subject", "by another name"])
def test_the_first_vote_of_a_person_counts_alone(again: Approver) -> None:
    assert counted(vote(ANNA), vote(again)) == (1, 0)
    assert counted(vote(again), vote(ANNA, "deny")) == (1, 0)


def test_a_vote_in_the_place_of_somebody_takes_both() -> None:
    assert counted(vote(DORA, in_place_of=ANNA), vote(ANNA), vote(DORA, in_place_of=BEN)) == (1, 0)
    assert counted(vote(ANNA), vote(DORA, in_place_of=ALIAS)) == (1, 0)


def test_whose_right_it_is_must_be_asked_and_not_who_uses_it() -> None:
    assert counted(vote(DORA, in_place_of=ANNA)) == (1, 0)
    assert counted(vote(ANNA, in_place_of=DORA)) == (0, 0)


def test_whoever_asks_now_does_not_count() -> None:
    both = Requesters(persons=("uma", "anna"), subjects=(CALLER,))
    assert counted(vote(ANNA), vote(BEN), requesters=both) == (1, 0)
    assert counted(vote(DORA, in_place_of=ANNA), vote(BEN), requesters=both) == (1, 0)
    assert counted(vote(UMA), vote(replace(BEN, subject=CALLER))) == (0, 0)


def test_a_vote_that_does_not_count_takes_nothing() -> None:
    early = vote(DORA, in_place_of=replace(ANNA, groups=frozenset()))
    assert counted(early, vote(ANNA)) == (1, 0)


def test_who_was_asked_is_a_matter_of_the_time_of_the_vote() -> None:
    wider = terms(escalate=(Step(after=60.0, circle=Circle(groups=frozenset({"board"}))),))
    assert counted(vote(DORA, at=NOW + 59), by=wider) == (0, 0)
    assert counted(vote(DORA, at=NOW + 60), by=wider) == (1, 0)


def test_older_votes_do_not_meet_a_rule_that_wants_more_now() -> None:
    strict = terms(factors=frozenset({"hwk"}), max_age=60.0)
    assert counted(vote(ANNA), vote(BEN, proof=PROOF), by=strict) == (1, 0)
    assert counted(vote(ANNA, proof=Proof(factor="otp", at=NOW)), by=strict) == (0, 0)
    assert counted(vote(ANNA, at=NOW + 60, proof=PROOF), by=strict) == (0, 0)
    assert counted(vote(ANNA, at=NOW + 59, proof=PROOF), by=strict) == (1, 0)


VOTERS = [ANNA, ALIAS, BEN, CLEO, DORA, UMA]
VOTES = st.builds(
    lambda by, stance, place: vote(by, stance, in_place_of=place),
    st.sampled_from(VOTERS),
    st.sampled_from(("approve", "deny")),
    st.none() | st.sampled_from(VOTERS),
)


@given(votes=st.lists(VOTES, max_size=12), more=VOTES)
def test_one_more_vote_is_one_more_or_none(votes: list[Vote], more: Vote) -> None:
    before, after = counted(*votes), counted(*votes, more)
    step = (after[0] - before[0], after[1] - before[1])
    assert step in ((0, 0), (1, 0) if more.stance == "approve" else (0, 1))


@given(votes=st.lists(VOTES, max_size=12))
def test_there_are_no_more_votes_than_people_who_are_asked(votes: list[Vote]) -> None:
    assert sum(counted(*votes)) <= len({"anna", "ben", "cleo"})


@given(votes=st.lists(VOTES, max_size=12), requester=st.sampled_from(VOTERS))
def test_it_is_as_if_who_asks_had_never_voted(votes: list[Vote], requester: Approver) -> None:
    asking = Requesters(persons=("uma", requester.person), subjects=(CALLER,))
    others = [
        one
        for one in votes
        if requester.person not in {party.person for party in (one.approver, one.in_place_of) if party is not None}
    ]
    assert counted(*votes, requesters=asking) == counted(*others)
