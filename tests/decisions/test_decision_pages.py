"""The pages of decisions: who may look, what is found, and that nothing masked and no markup comes out."""

import json
import re
import shlex
from html import unescape
from urllib.parse import urlencode

import pytest
from approvers.visiting import Visitor, heading, words
from commanding import command
from decisions.conftest import Recorded
from decisions.recorded_days import SECOND, START, decided, happened
from markupsafe import escape
from msgspec.structs import replace

from extauthz.history.index import Index, TooMuch
from extauthz.record.audit_line import (
    ApprovalLine,
    BreakGlassLine,
    GlimpseLine,
    GrantLine,
    IdentityLine,
    RequestLine,
    RiskLine,
    RuleLine,
    SignalLine,
    UserLine,
    WaitLine,
)
from extauthz.record.instants import rfc3339
from extauthz.web.decisions.waterfall import LEAST, WIDTH, waterfall

LINK = re.compile(r'<a id="d-\d+" href="/decisions/([0-9a-f]+)">')


def found(visitor: Visitor, **asked: str) -> list[int]:
    """The numbers of the decisions on the list that an address asks for."""
    response = visitor.get("/decisions?" + urlencode(asked))
    assert response.status_code == 200, response.text
    return [int(id_, 16) for id_ in LINK.findall(response.text)]


@pytest.fixture
def operator(world: Recorded) -> Visitor:
    world.now = START / SECOND + 120
    return world.logged_in("olga", "operators")


def test_only_operators_see_decisions(world: Recorded) -> None:
    world.writes(decided(1))
    for target in ("/decisions", f"/decisions/{1:032x}"):
        assert world.visitor().get(target).status_code == 403
        response = world.logged_in("anna", "treasury").get(target)
        assert (response.status_code, heading(response)) == (403, "Decisions are not for you to see")
        assert world.logged_in("olga", "operators").get(target).status_code == 200
    assert 'href="/decisions"' not in world.logged_in("anna", "treasury").get("/").text
    assert 'href="/decisions"' in world.logged_in("olga", "operators").get("/").text


def test_without_the_setting_there_are_no_such_pages(world: Recorded) -> None:
    world.looking = None
    assert world.logged_in("olga", "operators").get("/decisions").status_code == 404


def test_before_anything_is_recorded_the_page_says_so(operator: Visitor) -> None:
    response = operator.get("/decisions")
    assert "Nothing like that was decided." in words(response)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"decision": "deny"}, range(2, 40, 5)),
        ({"decision": "blocked"}, [one for one in range(40) if one % 5 > 1]),
        ({"decision": "blocked", "path": "/v1/*/a1*"}, [12, 23, 32, 34]),
        ({"subject": "user-3"}, range(3, 40, 5)),
        ({"rule": " payments/rule-2 "}, range(2, 40, 7)),
        ({"reason": "approval-required"}, range(4, 40, 5)),
        ({"reason": "frozen", "host": "host-1.example.com"}, [7, 22, 37]),
        ({"reason": "fro"}, []),
        ({"host": "host-1.example.com", "decision": "deny"}, [7, 22, 37]),
        ({"path": "/v1/accounts/a10"}, [10, 21, 32]),
        ({"find": f"{43:032X}"}, []),
        ({"find": f"{13:032x}"}, None),
        ({"decision": "nonsense", "since": "soon"}, range(40)),
        ({"since": "2026-09-21T14:13:30", "until": "2026-09-21T14:13:35"}, range(10, 15)),
    ],
)
def test_filters_are_what_the_address_says(
    world: Recorded, operator: Visitor, asked: dict[str, str], numbers: list[int] | None
) -> None:
    world.writes(*(decided(number) for number in range(40)))
    if numbers is None:
        response = operator.get("/decisions?" + urlencode(asked))
        assert (response.status_code, response.headers["location"]) == (303, f"/decisions/{13:032x}")
    else:
        assert found(operator, **asked) == sorted(numbers, reverse=True)


def test_a_trace_is_found_by_its_id_in_any_case(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number, decision_id=f"{1000 + number:032x}") for number in range(40)))
    assert found(operator, find=f"{0x1A:032X}") == [1025]


def test_older_pages_follow(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(120)))
    seen, target = [], "/decisions?subject=user-1"
    world.writes(*(decided(1000 + 5 * number + 1) for number in range(60)))
    while target:
        response = operator.get(target)
        seen += [int(id_, 16) for id_ in LINK.findall(response.text)]
        older = re.search(r'<a id="older" href="([^"]+)">', response.text)
        target = older[1].replace("&amp;", "&") if older is not None else ""
    assert seen == [*range(1296, 1000, -5), *range(116, 0, -5)]


@pytest.mark.parametrize("before", ["x", "1", "1-", "-1", "1-x", "9" * 30 + "-1", "²-1"])
def test_a_place_that_no_list_has_named_is_refused(operator: Visitor, before: str) -> None:
    assert operator.get("/decisions?" + urlencode({"before": before})).status_code == 400


def test_one_decision_is_shown_whole(world: Recorded, operator: Visitor) -> None:
    line = decided(
        2,
        detail="token: `exp` is over",
        request_time=(START // SECOND + 2, 0),
        rules=[
            RuleLine(rule="payments/rule-2", effect="deny", mode="enforce", result="match"),
            RuleLine(rule="payments/new", effect="challenge", mode="shadow", result="error", error="no such key"),
        ],
        risk=[
            RiskLine(
                model="payments",
                score=0.71,
                level="high",
                signals=[
                    SignalLine(name="new-device", state="raised", weight=0.5, counted=0.5, reason="never seen"),
                    SignalLine(name="far-away", state="quiet", weight=0.3, counted=0.0, reason="900 km"),
                ],
            )
        ],
        approvals=["ap-1"],
        grants=[
            GrantLine(
                bind="request",
                rule="payments/four-eyes",
                factor="approval",
                age_s=3.5,
                approval=ApprovalLine(
                    id="ap-0", break_glass=BreakGlassLine(person="anna", reason="fire", factor="otp")
                ),
            )
        ],
    )
    world.writes(line, happened("challenge.opened", 3, decision_id=line.decision_id, challenge="c-1", factor="totp"))
    response = operator.get(f"/decisions/{line.decision_id}")
    said = words(response)
    for part in (
        "deny frozen by payments/rule-2 , answered with 403",
        "token: `exp` is over",
        "payments/rule-2 decided deny match",
        "payments/new challenge shadow: never obeyed error no such key",
        "Risk by payments: high, 0.71",
        "new-device never seen raised 0.5 of 0.5",
        "far-away 900 km quiet 0 of 0.3",
        "1000 ms challenge.opened totp requester",
        "Masked 2 values that the audit does not keep: ?token, cookie",
        "payments/four-eyes approval, 3.5 s old, for the request",
        "Went through without anna: fire",
        "decided 250 µs",
    ):
        assert part in said, part
    assert f'href="https://traces.example.com/trace/{3:032x}?x=1"' in response.text
    assert 'href="/approvals/ap-1"' in response.text
    assert 'href="/approvals/ap-0"' in response.text


def test_what_is_masked_is_one_line(world: Recorded, operator: Visitor) -> None:
    query: dict[str, int | list[str]] = {"tag": 3, "page": ["2"]}
    headers: dict[str, int | list[str]] = {f"x-{number}": 1 for number in range(9)}
    request = RequestLine(
        method="GET",
        scheme="https",
        host="h.example.com",
        path="/",
        query=query,
        unnamed=4,
        headers={**headers, "accept": ["text/html", "*/*"]},
        body=17,
    )
    one = replace(request, query={}, unnamed=0, headers={"cookie": 1})
    world.writes(decided(1, request=request), decided(2, request=one))
    said = words(operator.get(f"/decisions/{1:032x}"))
    kept = "Path / ?page 2 accept text/html, */* Body 17 bytes, masked"
    names = ", ".join(headers)
    assert f"{kept} Masked 16 values that the audit does not keep: ?tag (3), {names}, other parameters (4) " in said
    assert "Masked 1 value that the audit does not keep: cookie " in words(operator.get(f"/decisions/{2:032x}"))


def test_the_command_that_a_page_shows_explains_the_decision(world: Recorded, operator: Visitor) -> None:
    line = decided(3, rule="payments/all")
    world.writes(line)
    (world.folder / "policies").mkdir()
    allow = {"name": "all", "effect": "allow"}
    document = {
        "apiVersion": "extauthz/v1",
        "kind": "Policy",
        "metadata": {"name": "payments"},
        "spec": {"rules": [allow]},
    }
    (world.folder / "policies" / "payments.yaml").write_text(json.dumps(document))
    config = {"policies": ["policies"], "audit": {"path": "audit.jsonl"}}
    (world.folder / "extauthz.yaml").write_text(json.dumps(config))
    (shown,) = re.findall("<code>extauthz (.*?)</code>", operator.get(f"/decisions/{line.decision_id}").text)
    explained = command(*shlex.split(unescape(shown)), folder=world.folder)
    assert explained.stderr == ""
    assert f"recorded: {line.decision} {line.reason} by payments/all" in explained.stdout


def test_waits_stand_at_their_places() -> None:
    """A call that was held, and then decided anew in 3 ms."""
    line = decided(
        2,
        time=rfc3339(START + 5 * SECOND),
        request_time=(START // SECOND, 0),
        duration_us=3_000.0,
        waits=[
            WaitLine(name="hold", after_us=-4_000_000.0, duration_us=3_990_000.0),
            WaitLine(name="store", after_us=1_000.0, duration_us=1_500.0, failed=True),
        ],
    )
    rows = waterfall(line)
    assert [(row.name, row.kind, row.after, row.lasted) for row in rows] == [
        ("Envoy, and on the way", "way", "", "1 s"),
        ("held for an approval", "wait", "1 s", "3.99 s"),
        ("decided", "check", "5 s", "3 ms"),
        ("waited: the store", "failed", "5 s", "1.5 ms"),
    ]
    whole = 5.003
    assert [row.x for row in rows] == pytest.approx([0, WIDTH / whole, WIDTH - LEAST, WIDTH - LEAST], abs=0.01)
    assert rows[1].width == pytest.approx(3.99 / whole * WIDTH, abs=0.01)


def test_without_waits_or_a_time_of_the_request_there_is_the_decision_alone() -> None:
    (row,) = waterfall(decided(2))
    assert (row.name, row.x, row.width, row.after, row.lasted) == ("decided", 0, WIDTH, "", "250 µs")


@pytest.mark.parametrize("find", ["c-1", "ap-1"])
def test_a_challenge_and_an_approval_lead_to_the_decision_that_began_them(
    world: Recorded, operator: Visitor, find: str
) -> None:
    line = decided(3, challenge="c-1", waits=[WaitLine(name="store", after_us=10.0, duration_us=200.0)])
    opened = happened("challenge.opened", 4, decision_id=line.decision_id, challenge="c-1")
    asked = happened("approval.opened", 4, decision_id=line.decision_id, approval="ap-1")
    world.writes(line, opened, asked)
    response = operator.get("/decisions?" + urlencode({"find": find}))
    assert (response.status_code, response.headers["location"]) == (303, f"/decisions/{line.decision_id}")
    shown = operator.get(response.headers["location"])
    assert '<a href="#came">c-1</a>' in shown.text
    assert "waited: the store after 10 µs 200 µs" in words(shown)


def test_the_plots_follow_the_filters(world: Recorded, operator: Visitor) -> None:
    world.writes(
        *(decided(number) for number in range(40)),
        happened("challenge.opened", 5, decision_id=f"{3:032x}", challenge="c-3"),
        happened("challenge.opened", 5, decision_id=f"{8:032x}", challenge="c-8"),
    )
    assert "All decisions" in words(operator.get("/decisions"))
    response = operator.get("/decisions?" + urlencode({"path": "/v1/*/a3"}))
    assert "Such decisions" in words(response)
    assert 'aria-label="14:13: 2 allow, 1 challenge, 1 hold"' in response.text
    assert "Their challenges in this time asked 1 shown 0" in words(response)
    assert "challenges in this time" not in words(operator.get("/decisions?decision=deny"))


def test_a_plot_that_takes_too_long_is_left_out(
    world: Recorded, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts(*_: object) -> None:
        raise TooMuch("")

    world.writes(decided(1))
    monkeypatch.setattr(Index, "counts", counts)
    response = operator.get("/decisions?subject=user-1")
    assert "These are too many to count. Ask for less time." in words(response)
    assert LINK.findall(response.text) == [f"{1:032x}"]


@pytest.mark.parametrize(("tcp", "told"), [(True, "TCP"), (False, "A request that could not be read")])
def test_a_decision_of_which_little_is_known_has_a_page(
    world: Recorded, operator: Visitor, tcp: bool, told: str
) -> None:
    bare = decided(2, request=None, identity=None, rules=[], rule=None, tcp=tcp)
    world.writes(bare)
    response = operator.get(f"/decisions/{bare.decision_id}")
    assert (response.status_code, heading(response)) == (200, told)
    assert "not read, or TCP" in words(operator.get("/decisions"))


def test_what_was_seen_of_a_request_that_could_not_be_read_is_found_and_shown(
    world: Recorded, operator: Visitor
) -> None:
    seen = GlimpseLine(method="GET", host="Example.com", path="//pay", source_ip="203.0.113.9")
    line = decided(2, request=None, glimpse=seen, identity=None, rules=[], rule=None)
    world.writes(decided(1), line)
    assert LINK.findall(operator.get("/decisions?path=//pa*&host=Example.com").text) == [line.decision_id]
    shown = operator.get(f"/decisions/{line.decision_id}")
    assert heading(shown) == "A request that could not be read"
    assert all(text in words(shown) for text in ("Path as sent", "//pay", "Came from", "203.0.113.9"))


@pytest.mark.parametrize(
    ("query", "told"), [("since=garbage", "From"), ("until=2026-13-01", "Until"), ("since=1", "From")]
)
def test_a_time_that_is_none_is_told_of(world: Recorded, operator: Visitor, query: str, told: str) -> None:
    world.writes(decided(1))
    assert f"“{told}” is no time that can be read" in words(operator.get(f"/decisions?{query}"))
    assert "is no time" not in words(operator.get("/decisions?since=2026-01-01"))


@pytest.mark.parametrize("id_", ["unknown", "x" * 300, "%00", "..%2f"])
def test_a_decision_that_is_not_known_has_no_page(operator: Visitor, id_: str) -> None:
    assert operator.get(f"/decisions/{id_}").status_code == 404


def test_what_came_with_a_request_is_text(world: Recorded, operator: Visitor) -> None:
    odd = '<script>alert(1)</script>"\u202e'
    line = decided(
        1,
        rule=odd,
        reason=odd,
        request=RequestLine(method=odd, host=odd, path=odd, headers={odd: [odd]}, query={odd: 1}),
        identity=IdentityLine(user=UserLine(sub=odd, iss=odd, kept={odd: odd})),
        detail=odd,
    )
    world.writes(line)
    for target in ("/decisions", f"/decisions/{line.decision_id}", "/decisions?" + urlencode({"subject": odd})):
        text = operator.get(target).text
        assert "<script>alert" not in text
        assert "\u202e" not in text.replace(f'value="{escape(odd)}"', "")  # but in the form, as it was typed
    assert "[U+202E]" in operator.get(f"/decisions/{line.decision_id}").text


def test_the_pages_load_nothing_and_are_not_kept(world: Recorded, operator: Visitor) -> None:
    world.writes(decided(1))
    for target in ("/decisions", f"/decisions/{1:032x}"):
        response = operator.get(target)
        assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "style=" not in response.text
        assert response.headers["cache-control"] == "no-store"


def test_the_plot_leads_to_its_times(world: Recorded, operator: Visitor) -> None:
    world.writes(*(decided(number) for number in range(120)), happened("challenge.opened", 5))
    response = operator.get("/decisions")
    assert 'aria-label="14:13: 16 allow, 8 challenge, 8 hold, 8 deny"' in response.text
    address = re.search(r'<a href="(/decisions\?since=[^"]+)" aria-label="14:13: 16 allow', response.text)
    assert address is not None
    assert LINK.findall(operator.get(address[1].replace("&amp;", "&")).text)[0] == f"{39:032x}"
    assert "Challenges in this time asked 1 shown 0 met 0 failed tries 0 given up 0" in words(response)
