"""Whoever makes requests, or addresses of the page, gets nothing out of it but text and its statuses."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from approvers.visiting import Visitor
from decisions.conftest import Recorded
from decisions.recorded_days import SECOND, START, decided, happened

from extauthz.record.audit_line import (
    ApprovalLine,
    BreakGlassLine,
    GrantLine,
    IdentityLine,
    RequestLine,
    RiskLine,
    RuleLine,
    SignalLine,
    UserLine,
    WorkloadLine,
)

ODD = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{6*7}}\u202e\x1b[2J"
ONE = f"/decisions/{1:032x}"


@pytest.fixture
def operator(world: Recorded) -> Visitor:
    world.now = START / SECOND + 120
    return world.logged_in("olga", "operators")


def test_whatever_a_record_holds_comes_out_as_text(world: Recorded, operator: Visitor) -> None:
    fields: dict[str, Any] = {
        "reason": ODD,
        "rule": ODD,
        "revision": ODD,
        "detail": ODD,
        "rules": [RuleLine(rule=ODD, effect="deny", mode="enforce", result="error", error=ODD)],
        "demands": [ODD],
        "approvals": [ODD],
        "context": {ODD: ODD},
        "request": RequestLine(
            method=ODD, host=ODD, path=ODD, raw_path=ODD, query={ODD: [ODD]}, headers={ODD: [ODD]}, query_error=ODD
        ),
        "identity": IdentityLine(
            user=UserLine(sub=ODD, iss=ODD, groups=[ODD], claims=[ODD], kept={ODD: {ODD: [ODD]}}, actor={ODD: ODD}),
            workload=WorkloadLine(id=ODD, verified_by=ODD),
            session=ODD,
            client_ip=ODD,
        ),
        "risk": [
            RiskLine(
                model=ODD,
                score=1e300,
                level=ODD,
                signals=[SignalLine(name=ODD, state="raised", weight=0.0, counted=0.0, reason=ODD, error=ODD)],
            )
        ],
        "grants": [
            GrantLine(
                bind=ODD,
                rule=ODD,
                factor=ODD,
                age_s=1.0,
                approval=ApprovalLine(id=ODD, votes=[], break_glass=BreakGlassLine(person=ODD, reason=ODD, factor=ODD)),
            )
        ],
    }
    world.writes(decided(1, **fields), happened("challenge.opened", 1, challenge=ODD, reason=ODD, factor=ODD))
    for target in ("/decisions", ONE, "/decisions?" + urlencode({"subject": ODD, "find": ODD, "rule": ODD})):
        page = operator.get(target)
        assert page.status_code == 200
        assert not re.search("<script>alert|<img", page.text), target
        assert "{{6*7}}" in page.text, "and is not worked out"
        # What whoever looks has typed themselves is shown to them as it is.
        assert "?" in target or not re.search("\x1b|\u202e", page.text)


@pytest.mark.parametrize(
    "target",
    [
        "/decisions?since=2262-04-11T23:00:00",
        "/decisions?until=1970-01-01",
        "/decisions?since=2026-09-21&until=2020-01-01",
        "/decisions?since=9999-12-31T23:59:59",
        "/decisions?since=0001-01-01&before=0-0",
        f"/decisions?before={2**63 - 1}-{2**63 - 1}",
        "/decisions?find=%00&path=%25&host=*&subject='+OR+1=1+--",
        "/decisions?find=%ff&subject=%ed%a0%80",
        "/decisions?find=" + "x" * 5_000,
        "/decisions?" + "&".join(f"a{number}=1" for number in range(5_000)),
    ],
)
def test_no_address_is_more_than_a_question(world: Recorded, operator: Visitor, target: str) -> None:
    world.writes(*(decided(number) for number in range(5)))
    assert operator.get(target).status_code == 200


@pytest.mark.parametrize("id_", ["%ff", "%00", "%ed%a0%80", "..%2f..%2f", "a" * 300, "%25", "*"])
def test_no_id_is_more_than_one_that_is_not_known(world: Recorded, operator: Visitor, id_: str) -> None:
    world.writes(decided(1))
    assert operator.get(f"/decisions/{id_}").status_code == 404
