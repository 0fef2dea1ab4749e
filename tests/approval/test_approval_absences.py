"""Whoever is away, and those who answer for them."""

import pytest
from approval.asking import ANNA, BEN, DORA
from approval.kept import Place, away, word
from store.one_loop import run

from extauthz.check.approval_absences import LONGEST_ABSENCE, LONGEST_NOTE, MOST_OF_ONE
from extauthz.identity.revocations import Kind
from extauthz.values.approvals import Absence


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


def test_no_absence_is_planned_for_a_time_when_the_groups_may_be_others(place: Place) -> None:
    since, until = place.now + LONGEST_ABSENCE, place.now + LONGEST_ABSENCE + 60
    assert run(place.absences.put(ANNA, since=since, until=until, delegate="dora")) == "too-long"
    assert isinstance(run(place.absences.put(ANNA, since=since - 60, until=since, delegate="dora")), Absence)


def test_nobody_fills_the_list_of_those_who_are_away(place: Place) -> None:
    first, *_ = [away(place, ANNA, "dora") for _ in range(MOST_OF_ONE)]
    assert isinstance(first, Absence)
    assert away(place, ANNA, "dora") == "too-many"
    assert len(run(place.absences.concerning(ANNA))) == MOST_OF_ONE
    assert isinstance(away(place, BEN, "dora"), Absence)
    assert run(place.absences.end(ANNA, first.id))
    assert isinstance(away(place, ANNA, "dora"), Absence)


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
