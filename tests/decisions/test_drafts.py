"""Recorded requests against drafts of policies, on the page and in the process that tries them."""

import asyncio
from pathlib import Path

import pytest
import yaml
from approval.asking import PEOPLE
from approvers.visiting import Visitor, words
from decisions.conftest import Recorded
from decisions.recorded_days import decided
from web.conftest import run

from extauthz.history.trying import Limits, Tried
from extauthz.identity.revocations import Revocation
from extauthz.policy.declared import NOTHING_DECLARED
from extauthz.record.audit_line import DecisionLine
from extauthz.values.identity import Subject
from extauthz.web.decisions import drafts
from extauthz.web.decisions.drafts import Drafts

DRAFT = """
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: draft}}
spec:
  rules:
    - {{name: open, paths: ["/v1/**"], effect: allow}}
    - {{name: shut, paths: ["/v1/accounts/{{account}}"], when: {when}, effect: deny}}
"""
DENIED = decided(2)


def tries(world: Recorded, draft: str, line: DecisionLine = DENIED) -> str:
    world.writes(line)
    operator = world.logged_in("olga", "operators")
    operator.get(f"/decisions/{line.decision_id}")
    response = operator.post(f"/decisions/{line.decision_id}/try", draft=draft)
    assert response.status_code == 200
    return words(response)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("request.params.account == 'a3'", "The draft would decide allow : allowed by draft/open, not deny."),
        ("request.params.account == 'a2'", "The draft would decide deny : denied by draft/shut, as it was decided."),
        ("request.query.token == '1'", "It can't be said: the record does not have request.query.token."),
        ("request.nonsense", "draft.yaml:8:"),
    ],
)
def test_a_draft_says_what_it_would_decide(world: Recorded, when: str, said: str) -> None:
    assert said in tries(world, DRAFT.format(when=when))


def test_what_no_policy_decided_is_not_tried(world: Recorded) -> None:
    line = decided(2, rule=None, reason="malformed-request", request=None)
    assert "the record does not have a request that reached the policies" in tries(
        world, DRAFT.format(when="'true'"), line
    )


def test_a_draft_is_shown_again_as_text(world: Recorded) -> None:
    said = tries(world, "\n<b>&</b>")
    assert "The draft can't be used:" in said
    assert "<b>&</b>" in said.replace("&lt;", "<")


NUMBERS = f"[{','.join('1' * 99)}]"
SLOW = f"{NUMBERS}.all(a, {NUMBERS}.all(b, {NUMBERS}.all(c, a + b + c > 0)))"
"""Looks at as many elements as one condition may."""
ENDLESS = DRAFT.format(when="'true'") + "".join(
    f"    - {{name: slow-{number}, effect: deny, when: '{SLOW}'}}\n" for number in range(3_000)
)
"""Far more than a form can bring, since what that can is soon decided."""


@pytest.mark.parametrize(
    "limits",
    [Limits(seconds=1, memory=1 << 30), Limits(seconds=10, memory=1 << 20)],
    ids=["processor", "memory"],
)
def test_a_draft_that_takes_too_much_is_given_up(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "LIMITS", limits)
    assert run(Drafts(declared=NOTHING_DECLARED).tried(ENDLESS, DENIED)) == "too-much"


def test_after_a_draft_that_takes_too_long_the_next_one_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    trying = Drafts(declared=NOTHING_DECLARED)
    with monkeypatch.context() as impatient:
        impatient.setattr(drafts, "PATIENCE", 0.01)
        assert run(trying.tried(ENDLESS, DENIED)) == "too-much"
    found = run(trying.tried(DRAFT.format(when="'true'"), DENIED))
    assert isinstance(found, Tried)
    assert found.decision == "deny"


def test_what_a_form_can_bring_takes_little(world: Recorded) -> None:
    rules = "".join(f"    - {{name: slow-{number}, effect: deny, when: '{SLOW}'}}\n" for number in range(20))
    said = tries(world, DRAFT.format(when="'false'") + rules)
    assert "too many elements visited in one evaluation" in said


def test_one_draft_is_tried_at_a_time_and_nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "TURN", 0.05)
    at_it, most = 0, 0
    said_to = drafts._said_to

    async def watched(asked: bytes) -> bytes:
        nonlocal at_it, most
        at_it, most = at_it + 1, max(most, at_it + 1)
        try:
            return await said_to(asked)
        finally:
            at_it -= 1

    monkeypatch.setattr(drafts, "_said_to", watched)

    async def together() -> list[object]:
        trying = Drafts(declared=NOTHING_DECLARED)
        return await asyncio.gather(*(trying.tried(DRAFT.format(when="'true'"), DENIED) for _ in range(3)))

    found = run(together())
    assert (found.count("busy"), most) == (2, 1)


def test_a_page_that_is_busy_says_so(world: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "TURN", 0.01)
    assert world.looking is not None
    run(world.looking.drafts._turn.acquire())
    assert "Other drafts are being tried" in tries(world, DRAFT.format(when="'true'"))


def test_envoy_waits_for_a_draft() -> None:
    shipped = yaml.safe_load((Path(__file__).parents[2] / "envoy" / "approvals.yaml").read_text())
    connections = shipped["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    timeout = connections["route_config"]["virtual_hosts"][0]["routes"][-1]["route"]["timeout"]
    assert float(timeout.removesuffix("s")) > drafts.TURN + drafts.PATIENCE


def test_only_operators_try_and_only_by_the_form_of_the_page(world: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: bytes) -> bytes:
        raise AssertionError("a process was asked")

    monkeypatch.setattr(drafts, "_said_to", refused)
    world.writes(DENIED)
    target = f"/decisions/{DENIED.decision_id}/try"
    nobody = world.visitor()
    assert nobody.post(target, draft="x").status_code == 403
    anna: Visitor = world.logged_in("anna", "treasury")
    anna.get("/")
    assert anna.post(target, draft="x").status_code == 403
    olga = world.logged_in("olga", "operators")
    assert olga.request("POST", target, form={"draft": "x"}).status_code == 403
    assert olga.post(target, session="0" * 32, draft="x").status_code == 409
    olga.get("/")
    assert olga.post(f"/decisions/{'0' * 32}/try", draft="x").status_code == 404
    olga.get("/")
    assert olga.post(target, draft="x" * 40_000).status_code == 413
    blocked = Revocation(kind="block", subject=Subject(PEOPLE, "olga-sub"), at=world.now)
    run(world.store.put_revocation(blocked, now=world.now))
    run(world.revocations.load())
    assert olga.request("GET", target).status_code == 405
    assert olga.post(target, draft="x").status_code == 403
