"""`extauthz policy check`: what it prints and how it ends."""

import json
from pathlib import Path

import pytest
from policytest.shop import POLICY, invoke, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_check_of_good_policies_ends_with_0(folder: Path) -> None:
    result = invoke("check", folder)
    assert result.exit_code == 0
    assert result.stdout.startswith("3 rules, no errors, revision sha256:")
    told = json.loads(invoke("check", folder, "--format", "json").stdout)
    assert told["ok"] is True
    assert told["rules"] == 3


def test_check_warns_of_rules_that_have_expired(folder: Path) -> None:
    text = POLICY.replace("      effect: allow\n", "      effect: allow\n      expires: 2020-01-01T00:00:00Z\n")
    (folder / "payments.yaml").write_text(text)
    result = invoke("check", folder)
    assert result.exit_code == 0
    place = f"{folder / 'payments.yaml'}:14:16"
    assert f"{place}: warning: the rule `payments/shop-may-transfer` has expired; remove it" in result.stderr


def test_check_of_bad_policies_draws_every_problem_and_ends_with_1(folder: Path) -> None:
    (folder / "payments.yaml").write_text(POLICY.replace("1000.0", "'much'").replace("effect: deny", "efect: deny"))
    result = invoke("check", folder)
    assert result.exit_code == 1
    assert f"{folder}/payments.yaml:22:7: unknown field `efect`; did you mean `effect`?" in result.stderr
    assert "   22 |       efect: deny\n      |       ^" in result.stderr
    told = json.loads(invoke("check", folder, "--format", "json").stdout)
    assert told["ok"] is False
    assert [problem["line"] for problem in told["problems"]] == [16, 22]
