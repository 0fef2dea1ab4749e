"""What approvers see: which approvals, and what they can do with each."""

from approval.asking import ANNA, BEN, CLEO, DORA, RULE, UMA, person, terms
from approval.kept import BOARD, EVERYTHING, Place, away
from store.one_loop import run

from extauthz.approval.refusals import Refusal
from extauthz.check.approval_viewing import Seen
from extauthz.check.approvals import Pending
from extauthz.values.approvals import Approver
from extauthz.values.identity import Subject


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
