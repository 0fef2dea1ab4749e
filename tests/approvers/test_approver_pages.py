"""What approvers see and do on their pages."""

import html
import re

import pytest
from approval.asking import NOW, PROOF, RULE, UMA_ASKING, terms
from approvers.visiting import TREASURY, World, heading, words
from msgspec.structs import replace as changed
from web.conftest import SAME_ORIGIN, run

from extauthz.values.approvals import BreakGlass
from extauthz.web.approvers import notices


def test_the_list_holds_what_the_viewer_can_answer(world: World) -> None:
    world.opened()
    anna, dora = world.logged_in("anna", TREASURY), world.logged_in("dora", "board")
    assert "250,000.00 EUR" in words(anna.get("/"))
    assert "Nothing waits for you." in words(dora.get("/"))
    assert "There is nothing like that." in words(dora.get("/?for=everybody"))


def test_the_list_is_narrowed_by_state_and_by_rule(world: World) -> None:
    world.ruled["payments/night"] = terms(min=1)
    world.opened("a1")
    world.opened("a2", rule="payments/night")
    world.opened("a3", rule="payments/night")
    anna = world.logged_in("anna", TREASURY)
    anna.answers("deny", "no", id_="a3")
    for query, found in {
        "": {"a1", "a2"},
        "show=denied": {"a3"},
        "show=all&for=everybody": {"a1", "a2", "a3"},
        "show=all&rule=payments/night": {"a2", "a3"},
        "show=pending&rule=payments/night": {"a2"},
        "show=approved": set(),
        "show=nonsense": {"a1", "a2"},
    }.items():
        assert set(re.findall(r'id="a-(a[0-9])"', anna.get(f"/?{query}").text)) == found, query


def test_a_long_list_is_turned_page_by_page(world: World) -> None:
    for number in range(60):
        world.opened(f"n{number:02}", opened_at=NOW + number)
    anna = world.logged_in("anna", TREASURY)
    first = anna.get("/")
    older = re.search(r'<a id="older" href="([^"]+)"', first.text)
    assert older is not None
    second = anna.get(html.unescape(older[1]))
    shown = [re.findall(r'id="a-(n[0-9]+)"', page.text) for page in (first, second)]
    assert [len(one) for one in shown] == [50, 10]
    assert [*shown[0], *shown[1]] == [f"n{number:02}" for number in range(59, -1, -1)]
    assert anna.get("/?before=nonsense").status_code == 400


def test_an_approval_of_others_is_as_if_it_were_not_there(world: World) -> None:
    world.opened()
    dora = world.logged_in("dora", "board")
    known, unknown = dora.get("/approvals/a1"), dora.get("/approvals/a2")
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    assert known.status_code == 404
    dora.get("/")
    for act in ("vote", "confirm", "cancel", "revoke", "review"):
        answers = [
            dora.post(f"/approvals/{one}/{act}", stance="deny", verdict="justified", reason="x") for one in ("a1", "a2")
        ]
        assert [(one.status_code, one.text) for one in answers] == 2 * [(404, unknown.text)], act
    assert (world.kept().state, world.kept().votes) == ("pending", ())


def test_two_answers_meet_a_rule_that_asks_for_two(world: World) -> None:
    world.opened()
    anna, ben = world.logged_in("anna", TREASURY), world.logged_in("ben", TREASURY)
    assert anna.answers("approve", "known customer").headers["location"] == "/approvals/a1"
    assert world.kept().state == "pending"
    shown = words(ben.get("/approvals/a1"))
    assert "Approved by anna" in shown
    assert "known customer" in shown
    assert "1 of 2 approved" in shown
    ben.answers("approve")
    approval = world.kept()
    assert approval.state == "approved"
    assert [vote.approver.person for vote in approval.votes] == ["anna", "ben"]
    assert {vote.channel for vote in approval.votes} == {"page"}


def test_nobody_answers_twice_nor_what_they_have_asked_for(world: World) -> None:
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.answers("approve")
    again = anna.post("/approvals/a1/vote", stance="approve", reason="")
    assert again.status_code == 409
    assert "You have answered this already" in words(again)
    uma = world.logged_in("Uma", TREASURY)
    page = uma.get("/approvals/a1")
    assert "You have asked for this yourself" in words(page)
    assert "Approve</button>" not in page.text
    assert uma.post("/approvals/a1/vote", stance="approve", reason="").status_code == 403
    assert len(world.kept().votes) == 1


def test_a_reason_that_is_wanted_is_asked_for_and_what_was_written_stays(world: World) -> None:
    world.ruled[RULE] = terms(min=1, reason_required=True)
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    assert anna.answers("deny", "  ").status_code == 422
    long = anna.answers("deny", "x" * 2001)
    assert long.status_code == 422
    assert "x" * 2001 in long.text
    assert anna.answers("deny", "not mine\r\nnor ours").status_code == 303
    assert world.kept().votes[0].reason == "not mine\nnor ours"


def broken(world: World) -> None:
    """Uma went through without an answer."""
    world.opened()
    before = world.kept()
    glass = BreakGlass(by=UMA_ASKING, reason="the house is on fire", proof=PROOF, at=NOW)
    new = changed(before, version=2, state="approved", due_at=None, break_glass=glass)
    run(world.store.replace_approval(new, version=1, keep=86_400.0, now=world.now))


@pytest.mark.parametrize("verdict", ["justified", "unjustified"])
def test_who_went_through_without_an_answer_is_looked_at(world: World, verdict: str) -> None:
    broken(world)
    anna, uma = world.logged_in("anna", TREASURY), world.logged_in("uma", TREASURY)
    assert "Somebody went through without an answer" in words(anna.get("/"))
    assert "Somebody went through without an answer" not in words(uma.get("/"))
    assert "the house is on fire" in words(anna.get("/approvals/a1"))
    assert anna.post("/approvals/a1/review", verdict=verdict).status_code == 422
    assert anna.post("/approvals/a1/review", verdict="perhaps", reason="it was").status_code == 400
    assert anna.post("/approvals/a1/review", verdict=verdict, reason="I have seen it").status_code == 303
    glass = world.kept().break_glass
    assert glass is not None
    assert glass.review is not None
    assert (glass.review.verdict, glass.review.by.person) == (verdict, "anna")
    assert (world.kept().revoked is not None) == (verdict == "unjustified")
    assert "Somebody went through" not in words(anna.get("/"))


def test_what_was_asked_is_cancelled_by_who_has_asked(world: World) -> None:
    world.opened()
    anna, uma = world.logged_in("anna", TREASURY), world.logged_in("uma", TREASURY)
    anna.get("/approvals/a1")
    assert anna.post("/approvals/a1/cancel", reason="").status_code == 403
    uma.get("/approvals/a1")
    assert uma.post("/approvals/a1/cancel", reason="a mistake").status_code == 303
    assert world.kept().state == "cancelled"
    assert "a mistake" in words(anna.get("/approvals/a1"))


def test_what_was_given_is_taken_back(world: World) -> None:
    world.ruled[RULE] = terms(min=1)
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.answers("approve")
    anna.get("/approvals/a1")
    assert anna.post("/approvals/a1/revoke", reason="wrong account").status_code == 303
    assert world.kept().revoked is not None
    assert "Taken back by anna" in words(anna.get("/approvals/a1"))


def test_whoever_stands_in_answers_in_the_place_of_who_is_away(world: World) -> None:
    world.opened()
    anna, eve = world.logged_in("anna", TREASURY), world.logged_in("eve")
    assert eve.get("/approvals/a1").status_code == 404
    anna.get("/absences")
    entered = anna.post("/absences", since="2026-11-18T00:00", until="2026-11-20T00:00", delegate="EVE", note="rest")
    assert entered.status_code == 303
    assert "You stand in for anna" in words(eve.get("/absences"))
    page = eve.get("/approvals/a1")
    assert "You answer in the place of anna anna" in words(page)
    eve.answers("approve")
    (vote,) = world.kept().votes
    assert vote.in_place_of is not None
    assert (vote.approver.person, vote.in_place_of.person) == ("eve", "anna")
    anna.get("/absences")
    assert "eve answers for you" in words(anna.get("/absences"))
    mine = run(world.store.absences(now=world.now))[0].id
    assert heading(eve.post("/absences", end=mine)) == notices.ABSENCE_GONE.title
    assert anna.post("/absences", end=mine).status_code == 303
    assert run(world.store.absences(now=world.now)) == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"since": "tomorrow", "until": "2026-11-20T00:00"}, "Write both moments"),
        ({"since": "2026-11-18T00:00+01:00", "until": "2026-11-20T00:00"}, "Write both moments"),
        ({"since": "2026-11-20T00:00", "until": "2026-11-18T00:00"}, "over before it begins"),
        ({"since": "2026-11-18T00:00", "until": "2027-11-20T00:00"}, "at most 60 days"),
        ({"since": "2026-11-18T00:00", "until": "2026-11-20T00:00", "delegate": "ANNA"}, "stand in for yourself"),
    ],
)
def test_an_absence_that_makes_no_sense_is_refused(world: World, fields: dict[str, str], said: str) -> None:
    anna = world.logged_in("anna", TREASURY)
    anna.get("/absences")
    refused = anna.post("/absences", SAME_ORIGIN, **fields)
    assert refused.status_code == 422
    assert said in words(refused)
    assert run(world.store.absences(now=world.now)) == ()
