"""How an operator comes from one thing to the next: times as people write them, suggestions, what rows lead to."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args
from urllib.parse import urlencode

import pytest
from approvers.visiting import Visitor, words
from decisions.conftest import Recorded
from decisions.recorded_days import BOT, append, decided
from decisions.test_decision_pages import LINK, found, operator
from markupsafe import escape
from msgspec.structs import replace

from extauthz.errors import Reason
from extauthz.record.audit_line import DecisionLine
from extauthz.web.decisions.meanings import MEANINGS

__all__ = ["operator"]  # a fixture


@pytest.mark.parametrize(
    ("since", "until", "read"),
    [
        ("14:13", "14:13:30", "since=2026-09-21T14%3A13%3A00&until=2026-09-21T14%3A13%3A30"),
        ("1m", "", "since=2026-09-21T14%3A14%3A20"),
        ("2026-09-21 14:13", "", "since=2026-09-21T14%3A13%3A00"),
        ("2026-09-21T16:13:00+02:00", "", "since=2026-09-21T14%3A13%3A00"),
        ("14:20", "", "since=2026-09-20T14%3A20%3A00"),  # it is 14:15:20
        ("2026-09-21", "14:14", "since=2026-09-21&until=2026-09-21T14%3A14%3A00"),
    ],
)
def test_a_time_as_people_write_it_leads_to_an_address_that_stays(
    world: Recorded, operator: Visitor, since: str, until: str, read: str
) -> None:
    response = operator.get("/decisions?" + urlencode({"reason": "frozen", "since": since, "until": until}))
    assert (response.status_code, response.headers["location"]) == (303, f"/decisions?reason=frozen&{read}")
    world.now += 600
    assert operator.get(response.headers["location"]).status_code == 200


def test_a_time_that_is_none_is_told_of_beside_one_that_people_write(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(40)))
    response = operator.get("/decisions?" + urlencode({"since": "14:13:50", "until": "soon"}))
    assert response.status_code == 200
    assert "“Until” is no time that can be read" in words(response)
    assert 'name="since" type="text" class="plain" value="2026-09-21T14:13:50"' in response.text
    assert len(LINK.findall(response.text)) == 10


@pytest.mark.parametrize(("until", "never"), [("14:13", True), ("14:13:30", True), ("14:13:31", False), ("", False)])
def test_times_that_nothing_is_between_are_told(operator: Visitor, until: str, never: bool) -> None:
    day = "2026-09-21T"
    asked = {"since": f"{day}14:13:30", "until": until and day + until}
    page = words(operator.get("/decisions?" + urlencode(asked)))
    assert ("there is no time between them" in page, "UTC" in page.partition("Find")[2]) == (never, not never)


def test_the_list_can_be_held_still(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(120)))
    held = re.search(r'<a id="hold" href="([^"]+)">', operator.get("/decisions?host=host-1.example.com").text)
    assert held is not None
    before = operator.get(held[1].replace("&amp;", "&"))
    world.writes(*(decided(number) for number in range(130, 200)))
    world.now += 100
    after = operator.get(held[1].replace("&amp;", "&"))
    assert LINK.findall(after.text) == LINK.findall(before.text) != []
    assert 'id="hold"' not in after.text
    assert found(operator, host="host-1.example.com")[0] == 199


@pytest.mark.parametrize(
    ("asked", "live"),
    [({}, True), ({"until": "2026-09-21T14:15:00"}, True), ({"until": "2026-09-21T14:14:00"}, False)],
)
def test_a_page_that_can_not_change_any_more_asks_for_no_news(
    world: Recorded, operator: Visitor, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], live: bool
) -> None:
    world.writes(*(decided(number) for number in range(120)))
    page = operator.get("/decisions?" + urlencode(asked)).text  # it is 14:15:20
    assert ('data-live="' in page) is live
    older = re.search(r'<a id="older" href="([^"]+)">', page)
    assert older is not None or asked
    if older is not None:
        assert 'data-live="' not in operator.get(older[1].replace("&amp;", "&")).text
    monkeypatch.setattr("extauthz.web.decisions.table.LAGGING", 0)
    append(world.folder / "audit.jsonl", [decided(500)])
    assert 'data-live="' in operator.get("/decisions?" + urlencode(asked)).text, "the index has more to read"


def test_what_a_row_says_leads_to_all_that_say_so_too(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(40)))
    page = operator.get("/decisions?decision=deny").text
    for name, text in (("subject", "user-2"), ("workload", BOT), ("rule", "payments/rule-2"), ("reason", "frozen")):
        address = "/decisions?" + urlencode({"decision": "deny", name: text})
        assert f'<a class="only" title="only this {name}" href="{escape(address)}">{text}</a>' in page
        assert f'title="only this {name}" href' not in operator.get(address).text, "nothing leads to where one is"


def test_hosts_rules_and_reasons_are_suggested(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(40)), asked_at("host-1.exam\u200bple.com"))
    page = operator.get("/decisions?reason=frozen").text

    def suggested(name: str) -> list[str]:
        listed = re.search(rf'<datalist id="known-{name}">(.*)</datalist>', page)
        return [] if listed is None else re.findall('<option value="([^"]*)">', listed[1])

    assert suggested("reason") == ["approval-required", "frozen", "rule-allows", "step-up-required"]
    assert suggested("rule") == [f"payments/rule-{number}" for number in range(7)]
    assert suggested("host") == [f"host-{number}.example.com" for number in range(3)]
    assert suggested("subject") == []
    assert page.count('list="known-') == 3


def asked_at(host: str) -> DecisionLine:
    """A decision on a request to this host."""
    line = decided(50)
    assert line.request is not None
    return replace(line, request=replace(line.request, host=host))


def test_an_index_that_lags_behind_says_so(world: Recorded, operator: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extauthz.web.decisions.table.LAGGING", 10_000)
    world.writes(*(decided(number) for number in range(60)))
    audit = world.folder / "audit.jsonl"
    behind = "The index has 60 % of the audit so far. What is missing here may be in the rest."
    assert "The index has" not in words(operator.get("/decisions"))
    append(audit, [decided(number) for number in range(10)])
    assert "The index has" not in words(operator.get("/decisions")), "a moment's work"
    append(audit, [decided(number) for number in range(10, 40)])
    assert behind in words(operator.get("/decisions"))
    audit.rename(audit.with_name("audit-20261122T040500Z-1.jsonl"))
    assert behind in words(operator.get("/decisions")), "moved just now"
    append(audit, [decided(1)])
    assert "The index has 59 % of the audit" in words(operator.get("/decisions")), "whose name it has was read further"
    world.writes()
    assert "The index has" not in words(operator.get("/decisions"))
    (world.folder / "decisions.sqlite").unlink()
    assert "The index has 0 % of the audit" in words(operator.get("/decisions"))


def test_what_else_was_decided_about_then_is_a_click_away(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(0, 2000, 7)))
    page = operator.get(f"/decisions/{707:032x}").text
    near = {name: address.replace("&amp;", "&") for address, name in re.findall(r'<a href="([^"]+)">([^<]+)</a>', page)}
    alike: dict[str, Callable[[int], bool]] = {
        "of this subject": lambda one: one % 5 == 2,
        "of this workload": lambda one: one % 2 == 1,
        "on this path": lambda one: one % 11 == 3,
        "for this reason": lambda one: one % 5 == 2,
    }
    for name, fits in alike.items():
        seen = [int(id_, 16) for id_ in LINK.findall(operator.get(near[name]).text)]
        assert 707 in seen
        assert all(fits(one) and abs(one - 707) <= 360 for one in seen), name
    assert "since=2026-09-21T14%3A20%3A00&until=2026-09-21T14%3A31%3A00" in near["all"]


def test_every_reason_is_told_in_the_words_of_the_documentation(world: Recorded, operator: Visitor) -> None:
    page = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    rows = [row.strip("|").split("|") for row in page.partition("### Reasons")[2].splitlines() if row.startswith("| `")]
    told = {_plain(reason): f"{_plain(means)} {_plain(todo)}".strip() for reason, _, _, means, todo in rows}
    assert told == MEANINGS
    assert told.keys() == set(get_args(Reason))
    world.writes(decided(2, reason="state-unavailable"), decided(7, reason="frozen"), decided(1, reason="allowed"))
    said = words(operator.get(f"/decisions/{2:032x}"))
    assert "state-unavailable by payments/rule-2 , answered with 403 The store is out of reach, or" in said
    for number in (7, 1):
        assert "answered with" in words(operator.get(f"/decisions/{number:032x}"))
        assert "An allow matches" not in words(operator.get(f"/decisions/{number:032x}"))


def _plain(cell: str) -> str:
    """What a cell of a table in Markdown says."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell).replace("`", "").strip()
