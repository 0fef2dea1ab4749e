"""Windows of time and lists of addresses that documents name: what conditions see of them, and what is refused."""

import json
from datetime import datetime

import hypothesis
import pytest
from hypothesis import strategies as st
from msgspec.structs import replace
from policy.making import Document, caller, compiled, definitions, document, evaluate, function, rule

from extauthz.policy.declared import Declared
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors
from extauthz.values.facts import Local
from extauthz.values.grants import Facts

OFFICE_HOURS: Document = {
    "zone": "Europe/Berlin",
    "hours": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}],
    "holidays": ["berlin"],
}
NIGHT: Document = {"zone": "UTC", "hours": [{"from": "22:00", "to": "04:00"}]}
CALENDAR = definitions(
    "calendar",
    holidays={"berlin": ["2026-11-20", "12-25"]},
    windows={"office-hours": OFFICE_HOURS, "night": NIGHT},
)
PLACES = definitions("places", addresses={"office": ["192.0.2.0/24", "2001:db8::1"], "elsewhere": ["198.51.100.0/24"]})


def at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def result(
    policies: PolicySet,
    *,
    now: str = "2026-11-19T12:00:00+01:00",
    address: str = "192.0.2.7",
    facts: Facts | None = None,
) -> tuple[str, str]:
    """How the only rule comes out, and the words of its error."""
    identity = replace(caller(sub="u1"), client_ip=address)
    (one,) = evaluate(policies, identity=identity, facts=facts, now=at(now)).rules
    return one.result, one.error or ""


def policies(when: str, *more: Document) -> PolicySet:
    return compiled(*more, document("p", rule("a", "allow", when=when)))


@pytest.mark.parametrize(
    ("when", "now", "expected"),
    [
        ('within(now, "office-hours")', "2026-11-19T12:00:00+01:00", "match"),
        ('within(now, "office-hours")', "2026-11-19T18:00:00+01:00", "no-match"),
        ('within(now, "office-hours")', "2026-11-20T12:00:00+01:00", "no-match"),
        ('within(now, "office-hours")', "2029-12-25T12:00:00+01:00", "no-match"),
        ('within(now, "night")', "2026-11-19T03:59:59.9+00:00", "match"),
        ('within(now, "night")', "2026-11-19T04:00:00+00:00", "no-match"),
        ('within(now - duration("1h"), "office-hours")', "2026-11-19T18:30:00+01:00", "match"),
        ('within(timestamp("2026-11-19T12:00:00Z"), "office-hours")', "2026-11-19T00:00:00Z", "match"),
    ],
)
def test_a_condition_knows_whether_a_window_is_open(when: str, now: str, expected: str) -> None:
    assert result(policies(when, CALENDAR), now=now) == (expected, "")


def test_a_moment_that_no_clock_of_the_zone_shows_is_an_error() -> None:
    far = definitions("far", windows={"east": {"zone": "Pacific/Apia", "hours": [{"from": "00:00", "to": "24:00"}]}})
    when = 'within(timestamp("9999-12-31T23:59:59Z"), "east")'
    assert result(policies(when, far)) == ("error", "1:1: no clock of the window `east` shows that moment")


@pytest.mark.parametrize(
    ("when", "address", "expected"),
    [
        ('listed(client.ip, "office")', "192.0.2.7", "match"),
        ('listed(client.ip, "office")', "192.0.3.7", "no-match"),
        ('listed(client.ip, "office")', "2001:db8::1", "match"),
        ('listed(client.ip, "elsewhere")', "192.0.2.7", "no-match"),
        ('!listed(client.ip, "elsewhere")', "192.0.2.7", "match"),
        ('listed("198.51.100.1", "elsewhere")', "", "match"),
    ],
)
def test_a_condition_knows_whether_an_address_is_listed(when: str, address: str, expected: str) -> None:
    assert result(policies(when, PLACES), address=address) == (expected, "")


@pytest.mark.parametrize("when", ['listed(client.ip, "office")', '!listed(client.ip, "office")'])
def test_an_address_that_nobody_knows_is_an_error(when: str) -> None:
    assert result(policies(when, PLACES), address="")[0] == "error"


def test_what_is_no_address_is_an_error() -> None:
    assert result(policies('!listed("localhost", "office")', PLACES)) == ("error", "1:2: “localhost” is no IP address")


def test_lists_of_files_are_those_of_the_moment() -> None:
    held = policies('listed(client.ip, "tor")')
    for addresses, expected in (
        ({"tor": "192.0.2.7".__eq__}, ("match", "")),
        ({"tor": "10.0.0.1".__eq__}, ("no-match", "")),
        ({}, ("error", "1:1: no list of addresses is called `tor`")),
    ):
        assert result(held, facts=Facts(local=Local(addresses=addresses))) == expected


DEFINE_IT = "define it under `addresses` of a `kind: Definitions` document"


def test_the_lists_that_a_configuration_has_are_known() -> None:
    asked = document("p", rule("a", "allow", when='listed(client.ip, "tor") && !listed(client.ip, "office")'))
    declared = Declared(addresses=frozenset({"tor"}))
    assert compiled(PLACES, asked, declared=declared).rules
    for known, message, hint in (
        (frozenset({"tors"}), "no list of addresses is called `tor`", "did you mean `tors`?"),
        (
            frozenset[str](),
            "no list of addresses is called `tor`",
            f"{DEFINE_IT}, or name its file under `addresses` of the configuration",
        ),
        (
            frozenset({"tor", "office"}),
            "the configuration names a list `office`, too",
            "rename one of the two",
        ),
    ):
        with pytest.raises(PolicyErrors) as caught:
            compiled(PLACES, asked, declared=Declared(addresses=known))
        (problem,) = caught.value.problems
        assert (problem.message, problem.hint) == (message, hint)


CITY = frozenset({"country", "continent", "city", "latitude", "longitude", "accuracy_km"})


@pytest.mark.parametrize(
    ("when", "given", "told"),
    [
        ('geo.country == "CH"', CITY, None),
        ("has(geo.city) || geo.?continent.hasValue() || travel.speed_kmh > 900.0", CITY, None),
        ("geo.anonymous || geo.asn == 1 || geo.accuracy_km > 5.0", None, None),
        ("geo.asn == 1", CITY, "no database gives `geo.asn`"),
        ("has(geo.asn)", CITY, "no database gives `geo.asn`"),
        ("geo.?asn.hasValue()", CITY, "no database gives `geo.asn`"),
        ('geo.country == "CH"', frozenset[str](), "no database gives `geo.country`"),
        ("definitions.swiss(geo)", frozenset[str](), "no database gives `geo`"),
        ("definitions.swiss(geo)", CITY, None),
        ("travel.speed_kmh > 900.0", frozenset({"asn"}), "no database gives the places that `travel` needs"),
        ("variables.here", frozenset[str](), "no database gives `geo.city`"),
    ],
)
def test_what_no_database_gives_can_not_be_read(when: str, given: frozenset[str] | None, told: str | None) -> None:
    swiss = definitions("d", functions={"swiss": function('place.country == "CH"', place="geo")})
    variables = {"variables": {"here": 'geo.city == "Bern"'}} if "here" in when else {}
    asked = document("p", rule("a", "allow", when=when), **variables)
    if told is None:
        assert compiled(swiss, asked, declared=Declared(geo=given)).rules
        return
    with pytest.raises(PolicyErrors) as caught:
        compiled(swiss, asked, declared=Declared(geo=given))
    assert [problem.message for problem in caught.value.problems] == [told]


def test_windows_may_be_asked_by_functions_of_definitions() -> None:
    asked = definitions("asked", functions={"open": function('within(at, "office-hours")', at="timestamp")})
    held = policies("definitions.open(now)", asked, CALENDAR)
    assert result(held) == ("match", "")
    assert result(held, now="2026-11-20T12:00:00+01:00") == ("no-match", "")


@pytest.mark.parametrize(
    ("when", "message", "hint"),
    [
        (
            'within(now, "ofice-hours")',
            "no window of time is called `ofice-hours`",
            "did you mean `office-hours`?",
        ),
        (
            'within(now, "x")',
            "no window of time is called `x`",
            "define it under `windows` of a `kind: Definitions` document",
        ),
        (
            "within(now, request.path)",
            "the name of a window of time must be known when it is loaded",
            "write it as a literal text",
        ),
        (
            "listed(client.ip, client.ip)",
            "the name of a list of addresses must be known when it is loaded",
            "write it as a literal text",
        ),
    ],
)
def test_a_name_that_stands_for_nothing_is_an_error_at_its_place(when: str, message: str, hint: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        policies(when, CALENDAR)
    (problem,) = caught.value.problems
    assert (problem.message, problem.hint) == (message, hint)
    name = json.dumps(when.partition(", ")[2])[1:-1]
    assert problem.source_line[problem.column - 1 :].startswith(name)


def hours(**changes: object) -> Document:
    """A window with one span."""
    return {"windows": {"w": {**NIGHT, "hours": [{"from": "22:00", "to": "04:00", **changes}]}}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"windows": {"w": {**NIGHT, "zone": "Europe/Berln"}}}, "`Europe/Berln` is no time zone"),
        ({"windows": {"w": {**NIGHT, "holidays": ["berln"]}}}, "no holidays are called `berln`"),
        ({"windows": {"w": {**NIGHT, "hours": []}}}, "must not be empty"),
        ({"windows": {"w": {"hours": NIGHT["hours"]}}}, "missing field `zone`"),
        (hours(to="4:00"), "`4:00` is no time of the day"),
        (hours(to=4), "must be a time of the day"),
        (hours(to="22:00"), "begins when it ends"),
        ({"windows": {"w": {**NIGHT, "hours": [{"from": "24:00", "to": "04:00"}]}}}, "begins when it ends"),
        (hours(begin="22:00"), "unknown field `begin`"),
        (hours(days=["monday"]), "`monday` is no day of the week"),
        (hours(days=[]), "must not be empty"),
        ({"holidays": {"h": ["2026-02-30"]}}, "`2026-02-30` is no day"),
        ({"holidays": {"h": []}}, "must not be empty"),
        ({"addresses": {"a": []}}, "must not be empty"),
        ({"addresses": {"a": ["10.0.0.1/8"]}}, "`10.0.0.1/8` has bits behind its prefix"),
        ({"addresses": {"a": ["office.example"]}}, "`office.example` is neither an address nor a network"),
        ({"addresses": {"a b": ["10.0.0.0/8"]}}, "`a b` is not a name"),
    ],
)
def test_what_is_wrong_with_a_definition_is_told_where_it_stands(spec: Document, message: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        compiled(definitions("d", **spec), document("p", rule("a", "allow")))
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.hint or message.startswith(("missing", "unknown"))
    assert problem.line == 1
    assert problem.column > len('{"apiVersion": "extauthz/v1", "kind": "Definitions"')


def test_a_name_is_defined_once_over_all_documents() -> None:
    with pytest.raises(PolicyErrors) as caught:
        compiled(
            CALENDAR,
            PLACES,
            definitions(
                "again", windows={"night": NIGHT}, addresses={"office": ["10.0.0.0/8"]}, holidays={"berlin": ["01-01"]}
            ),
            document("p", rule("a", "allow")),
        )
    assert {problem.message for problem in caught.value.problems} == {
        "`night` is defined already",
        "`office` is defined already",
        "`berlin` is defined already",
    }
    assert all(problem.line == 5 for problem in caught.value.problems)


def test_holidays_of_one_document_serve_the_windows_of_another() -> None:
    days = definitions("days", holidays={"berlin": ["2026-11-19"]})
    hours = definitions("hours", windows={"office-hours": OFFICE_HOURS})
    for order in ((days, hours), (hours, days)):
        assert result(policies('within(now, "office-hours")', *order)) == ("no-match", "")


def test_what_is_wrong_with_a_window_is_not_told_again_where_it_is_used() -> None:
    broken = definitions("broken", windows={"w": {**NIGHT, "zone": "nowhere"}})
    with pytest.raises(PolicyErrors) as caught:
        policies('within(now, "w")', broken)
    assert [problem.message for problem in caught.value.problems] == ["`nowhere` is no time zone"]


@hypothesis.given(
    st.permutations(
        [
            CALENDAR,
            PLACES,
            document("p", rule("a", "allow", when='within(now, "night") || listed(client.ip, "office")')),
        ]
    )
)
def test_the_order_of_documents_is_irrelevant(documents: list[Document]) -> None:
    held = compiled(*documents)
    assert result(held) == ("match", "")
    assert result(held, address="10.0.0.1") == ("no-match", "")
    assert held.revision == compiled(*reversed(documents)).revision


def test_windows_and_lists_are_part_of_the_revision() -> None:
    others = definitions("places", addresses={"office": ["192.0.2.0/25"], "elsewhere": ["198.51.100.0/24"]})
    assert policies("true", PLACES).revision != policies("true", others).revision


def test_what_a_document_that_can_not_be_read_may_have_named_is_not_told() -> None:
    unreadable = definitions("unreadable")
    unreadable["spec"] = "windows"
    with pytest.raises(PolicyErrors) as caught:
        policies('within(now, "w") && listed(client.ip, "l")', unreadable)
    assert [problem.message for problem in caught.value.problems] == ["must be a mapping, not the text `windows`"]
