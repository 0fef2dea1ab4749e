"""Tests of policies give approvals, which are counted as real ones are."""

import json
from pathlib import Path

import pytest
from policytest.shop import invoke

from extauthz.policy.problems import PolicyErrors

POLICY = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: all, effect: allow}
    - name: four-eyes
      effect: approve
      approve:
        approvers: {groups: [chiefs], when: approver.claims.limit > 5}
        min: 2
        auto: [{when: "request.path == '/small'", answer: approve}]
        break_glass: {groups: [on-duty], factors: [totp]}
    - {name: prove, paths: [/proven], effect: challenge, challenge: {factors: [totp]}}
"""
BOTH = "[{sub: b1, groups: [chiefs], claims: {limit: 9}}, {sub: b2, groups: [chiefs], claims: {limit: 6}}]"
ONE = "[{sub: b1, groups: [chiefs], claims: {limit: 9}}]"
CASES = [
    ("", "/", "{decision: hold, rule: p/four-eyes, status: 403}"),
    (f"{{rule: p/four-eyes, approved_by: {BOTH}}}", "/", "{decision: allow}"),
    (f"{{rule: p/four-eyes, approved_by: {ONE}}}", "/", "{decision: hold}"),
    (f"{{rule: p/four-eyes, approved_by: {BOTH}, age: 10m}}", "/", "{decision: hold}"),
    (f"{{rule: p/four-eyes, approved_by: {BOTH}, uses: unlimited}}", "/", "{decision: hold}"),
    (f"{{rule: p/four-eyes, approved_by: {BOTH.replace('b2', 'u1')}}}", "/", "{decision: hold}"),
    (f"{{rule: p/four-eyes, approved_by: {BOTH.replace('6', '5')}}}", "/", "{decision: hold}"),
    ("{rule: p/four-eyes, break_glass: {factor: totp}}", "/", "{decision: allow}"),
    ("{rule: p/four-eyes, break_glass: {factor: recovery}}", "/", "{decision: hold}"),
    ("", "/small", "{decision: allow, auto: [p/four-eyes]}"),
    (f"{{rule: p/four-eyes, approved_by: {BOTH}}}", "/proven", "{decision: challenge, rule: p/prove}"),
    (
        f"{{rule: p/four-eyes, approved_by: {BOTH}}}, {{rule: p/prove, factor: totp}}",
        "/proven",
        "{decision: allow, rules: {p/prove: match}}",
    ),
]


@pytest.mark.parametrize(("grants", "path", "expect"), CASES)
def test_an_approval_of_a_test_is_counted(tmp_path: Path, grants: str, path: str, expect: str) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "test.yaml").write_text(
        "apiVersion: extauthz/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n  cases:\n"
        f"    - {{name: one, request: {{path: {path}}}, user: {{sub: u1, groups: [on-duty]}},"
        f" facts: {{grants: [{grants}]}}, expect: {expect}}}\n"
    )
    told = invoke("test", "--format", "json", tmp_path)
    assert told.exit_code == 0, json.loads(told.stdout)


def test_a_grant_is_one_thing(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "test.yaml").write_text(
        "apiVersion: extauthz/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n  cases:\n"
        "    - {name: one, facts: {grants: [{rule: p/four-eyes}]}, expect: {decision: hold}}\n"
    )
    told = invoke("test", tmp_path)
    assert isinstance(told.exception, PolicyErrors)
    assert "a grant is one thing; write `factor`, `approved_by` or `break_glass`" in str(told.exception)
