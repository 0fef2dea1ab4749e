"""`extauthz policy explain` of recorded decisions: by the policies of then or of now, and by what the record holds."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from explain.explaining import told, words
from policy.making import NOW, caller, compiled, document, evaluate, http, rule
from policytest.shop import invoke
from replay.recording import write as write_audit

from extauthz.errors import ExtauthzError
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import DecisionRecord
from extauthz.values.decisions import Deny
from extauthz.values.identity import Identity
from extauthz.values.quoting import given
from extauthz.values.request import RequestView


def audit(folder: Path, policies: PolicySet, request: RequestView, identity: Identity) -> Path:
    """An audit file with one decision, `d-1`."""
    evaluation = evaluate(policies, request, identity)
    record = DecisionRecord(
        decision_id="d-1",
        revision=policies.revision,
        decision=evaluation.decision,
        rules=evaluation.rules,
        request=request,
        identity=identity,
        started_ns=int(NOW) * 1_000_000_000,
        ended_ns=int(NOW) * 1_000_000_000,
    )
    return write_audit([record], folder / "audit.jsonl")


def recorded(folder: Path, *rules: Mapping[str, Any]) -> Path:
    """The record of what a user's transfer met: an allow for all."""
    before = compiled(document("p", rule("all", "allow")))
    (folder / "policies").mkdir()
    (folder / "policies" / "p.yaml").write_text(json.dumps(document("p", *(dict(one) for one in rules))))
    return audit(folder, before, http("/pay?amount=5000"), caller(sub="u1", claims={"tenant": "t1"}))


def test_a_recorded_decision_is_explained_by_what_the_record_holds(tmp_path: Path) -> None:
    file = recorded(tmp_path, rule("all", "allow"), rule("u1", "deny", when="user.sub == 'u1'"))
    found = told("--policy", tmp_path / "policies", "--audit", file, "--id", "d-1")
    assert (found["decision"], found["reason"], found["rule"]) == ("deny", "denied", "p/u1")
    assert found["rules"][1]["trace"]["parts"][0]["value"] == "u1"
    assert (found["recorded"]["decision"], found["recorded"]["rule"]) == ("allow", "p/all")
    assert (found["missing"], found["response"], found["status"]) == ([], None, None)
    text = invoke("explain", "--policy", tmp_path / "policies", "--audit", file, "--id", "d-1").stdout
    assert text.startswith("deny denied by p/u1\nrecorded: allow allowed by p/all, status 200, ")


def test_by_the_policies_that_decided_then_the_outcome_is_the_records_whatever_is_masked(tmp_path: Path) -> None:
    made = document("p", rule("all", "allow"), rule("rich", "deny", when="double(request.query.amount) > 10.0"))
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(json.dumps(made))
    file = audit(tmp_path, compiled(made), http("/pay?amount=5000"), caller())
    found = told("--policy", tmp_path / "policies", "--audit", file, "--id", "d-1")
    assert (found["decision"], found["rule"], found["missing"]) == ("deny", "p/rich", [])
    assert [(one["rule"], one["result"]) for one in found["rules"]] == [("p/all", "match"), ("p/rich", "match")]
    assert "masked" in found["rules"][1]["trace"]["error"]


def test_what_depends_on_a_masked_value_is_undecidable(tmp_path: Path) -> None:
    file = recorded(tmp_path, rule("all", "allow"), rule("rich", "deny", when="double(request.query.amount) > 10.0"))
    found = told("--policy", tmp_path / "policies", "--audit", file, "--id", "d-1")
    assert (found["decision"], found["reason"], found["rule"]) == (None, "undecidable", None)
    assert found["missing"] == ["request.query.amount"]
    rich = found["rules"][1]
    assert (rich["rule"], rich["result"]) == ("p/rich", "error")
    assert "`request.query.amount` is masked in the record" in rich["error"]
    text = invoke("explain", "--policy", tmp_path / "policies", "--audit", file, "--id", "d-1").stdout
    assert text.startswith("undecidable: the record does not hold request.query.amount\n")


def test_an_answer_that_no_policy_gave_is_told_with_what_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(json.dumps(document("p", rule("all", "allow"))))
    refused = DecisionRecord(
        decision_id="d-1",
        revision="sha256:0",
        decision=Deny(reason="invalid-token", status=401),
        detail=f"token: `kid` {given('k1')} fits no key",
        request=http("/pay"),
        started_ns=int(NOW) * 1_000_000_000,
        ended_ns=int(NOW) * 1_000_000_000,
    )
    arguments = ("--policy", tmp_path / "policies", "--audit", write_audit([refused], tmp_path / "audit.jsonl"))
    found = told(*arguments, "--id", "d-1")
    assert (found["decision"], found["reason"], found["rules"]) == (None, "undecidable", [])
    assert found["recorded"] == {
        "decision": "deny",
        "reason": "invalid-token",
        "rule": None,
        "status": 401,
        "revision": "sha256:0",
        "time": "2026-11-18T11:06:40.000000000Z",
        "detail": "token: `kid` “…” fits no key",
    }
    text = invoke("explain", *arguments, "--id", "d-1").stdout
    assert text.startswith("undecidable: no policy gave this answer\nrecorded: deny invalid-token, status 401, ")
    assert "\ntoken: `kid` “…” fits no key\n" in text


def test_a_decision_that_is_not_in_the_file_is_an_error(tmp_path: Path) -> None:
    file = recorded(tmp_path, rule("all", "allow"))
    result = invoke("explain", "--policy", tmp_path / "policies", "--audit", file, "--id", "d-2")
    assert isinstance(result.exception, ExtauthzError)
    assert "holds no decision `d-2`" in str(result.exception)


def test_another_file_than_an_audit_file_is_told_to_be_one(tmp_path: Path) -> None:
    recorded(tmp_path, rule("all", "allow"))
    other = tmp_path / "other.yaml"
    other.write_text("policies: [d-1]\n")
    result = invoke("explain", "--policy", tmp_path / "policies", "--audit", other, "--id", "d-1")
    assert str(result.exception) == f"{other}: holds no record of a decision; `audit.path` names the file to read"


@pytest.mark.timeout(20)
def test_an_audit_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    recorded(tmp_path, rule("all", "allow"))
    os.mkfifo(tmp_path / "pipe")
    result = invoke("explain", "--policy", tmp_path / "policies", "--audit", tmp_path / "pipe", "--id", "d-1")
    assert str(result.exception) == f"{tmp_path / 'pipe'}: can't read the audit file: not a regular file"


def test_a_configuration_says_where_policies_and_records_are(tmp_path: Path) -> None:
    file = recorded(tmp_path, rule("all", "allow"), rule("u1", "deny", when="user.sub == 'u1'"))
    config = tmp_path / "extauthz.yaml"
    config.write_text(json.dumps({"policies": ["policies"], "audit": {"path": file.name}}))
    named = told("--policy", tmp_path / "policies", "--audit", file, "--id", "d-1")
    assert told("--config", config, "--id", "d-1") == named
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "p.yaml").write_text(json.dumps(document("p", rule("all", "allow"))))
    found = told("--config", config, "--policy", tmp_path / "others", "--id", "d-1")
    assert (found["decision"], found["rule"]) == ("allow", "p/all")


def test_what_neither_the_command_line_nor_a_configuration_names_is_asked_for(tmp_path: Path) -> None:
    recorded(tmp_path, rule("all", "allow"))
    for option, arguments in (
        ("--policy", ("--audit", tmp_path / "audit.jsonl", "--id", "d-1")),
        ("--audit", ("--policy", tmp_path / "policies", "--id", "d-1")),
    ):
        result = invoke("explain", *arguments)
        assert result.exit_code == 2
        assert f"Invalid value for {option}: name it, or by `--config`" in words(result.stderr)
    config = tmp_path / "extauthz.yaml"
    config.write_text(json.dumps({"bundles": [{"path": "p.tar.gz", "key": "public.pem", "name": "p"}]}))
    result = invoke("explain", "--config", config, "--id", "d-1")
    assert f"{config}: `policies` names none on disk; name them by `--policy`" in str(result.exception)
    config.write_text(json.dumps({"policies": ["policies"]}))
    result = invoke("explain", "--config", config, "--id", "d-1")
    assert f"{config}: no `audit.path` is set; name the audit files" in str(result.exception)
