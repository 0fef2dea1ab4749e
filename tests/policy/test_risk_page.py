"""What `docs/risk.md` shows can be loaded as it stands, decides as it says, and its figures are those of the code."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Final, get_args

import pytest
from policy.making import NOW, caller, evaluate, http

from extauthz.policy.context import RISK
from extauthz.policy.load import load_text
from extauthz.policy.risk_document import SignalModel
from extauthz.risk.score import FORGOTTEN
from extauthz.store.habits import DAY, RAISED_SECONDS
from extauthz.values.assessment import State
from extauthz.values.decisions import Allow, Challenge, Deny
from extauthz.values.facts import LastPlace, Question
from extauthz.values.grants import Facts

PAGE: Final = (Path(__file__).parents[2] / "docs" / "risk.md").read_text()
POLICIES: Final = load_text("---\n".join(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)))
SWISS: Final = {"latitude": 47.4, "longitude": 8.5}
WARNED: Final = {"risk_level": "HIGH", "risk_at": NOW - 43_200.0}
USUAL: Final = SimpleNamespace(count=40, p50=10.0, p90=20.0, p95=30.0, p99=50.0)


@pytest.mark.parametrize(
    ("facts", "path", "score", "decision"),
    [
        ({"device": {"known": True}}, "/pay?amount=20", 0.0, Allow),
        ({}, "/pay?amount=20", 20.0, Allow),
        ({"device": {"known": True}}, "/pay?amount=301", 30.0, Challenge),
        ({}, "/pay?amount=301", 50.0, Challenge),
        ({"far": True}, "/pay", 60.0, Deny),
        ({"device": {"known": True}, "reported": WARNED}, "/pay", 25.0, Allow),
        ({"device": {"known": True}}, "/pay?amount=much", 30.0, Challenge),
    ],
)  # fmt: skip
def test_its_example_adds_friction_where_it_is_earned(
    facts: dict[str, object], path: str, score: float, decision: type
) -> None:
    given = {"geo": SWISS, **facts}
    far = given.pop("far", False)
    last = LastPlace(latitude=-33.9, longitude=151.2, at=NOW - 3600.0) if far else None
    answers: dict[Question, object] = {
        Question("place"): last,
        Question("raised", ("default",)): {},
        Question("baseline", ("risk:default/amount", "u1")): USUAL,
    }
    evaluation = evaluate(POLICIES, http(path), caller(sub="u1"), facts=Facts(answers=answers, **given))  # type: ignore[arg-type]  # the cases are of several types
    assert evaluation.risk[0].score == score
    assert isinstance(evaluation.decision, decision)


def test_it_tells_of_every_field_and_state() -> None:
    assert all(f"`risk.{name}`" in PAGE for name in RISK.fields)
    assert all(f"| `{name}` |" in PAGE for name in SignalModel.model_fields)
    assert all(f"`{state}`" in PAGE for state in get_args(State))


def test_its_figures_are_those_of_the_code() -> None:
    assert FORGOTTEN == 10
    assert "after ten of them nothing" in PAGE
    assert f"for {RAISED_SECONDS / DAY:g} days at most" in PAGE
