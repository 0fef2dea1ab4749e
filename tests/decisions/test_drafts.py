"""Recorded requests against drafts of policies, on the page and in the process that tries them."""

import pytest
from approvers.visiting import Visitor, words
from decisions.conftest import Recorded
from decisions.recorded_days import decided
from web.conftest import run

from extauthz.policy.declared import NOTHING_DECLARED
from extauthz.record.audit_line import DecisionLine
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


def test_a_draft_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "PATIENCE", 0.01)
    assert run(Drafts(declared=NOTHING_DECLARED).tried(DRAFT.format(when="true"), DENIED)) is None


def test_only_operators_try_and_only_by_the_form_of_the_page(world: Recorded) -> None:
    world.writes(DENIED)
    target = f"/decisions/{DENIED.decision_id}/try"
    anna: Visitor = world.logged_in("anna", "treasury")
    anna.get("/")
    assert anna.post(target, draft="x").status_code == 403
    olga = world.logged_in("olga", "operators")
    assert olga.request("POST", target, form={"draft": "x"}).status_code == 403
    assert olga.post(target, session="0" * 32, draft="x").status_code == 409
    olga.get("/")
    assert olga.post(target, draft="x" * 40_000).status_code == 413
