"""`extauthz policy explain`: the risk, and the facts that it is told by."""

from pathlib import Path

import pytest
from explain.explaining import told, words
from policytest.shop import check_request, invoke

RISKY = """
apiVersion: extauthz/v1
kind: RiskModel
metadata: {name: default}
spec:
  signals:
    new-device: {when: "!device.known", weight: 20, reason: appears from a new device}
    often: {when: 'rate(workload.path, duration("1m")) > 3', weight: 40, reason: too many requests}
    odd: {when: user.claims.tenant == "t1", weight: 5, reason: of another tenant}
  levels: {low: 0, medium: 15, high: 60}
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: a, effect: allow, when: risk.level != "high"}
"""


def test_the_risk_is_told_with_every_signal_its_value_weight_and_reason(tmp_path: Path) -> None:
    policy, facts = tmp_path / "policy.yaml", tmp_path / "facts.yaml"
    policy.write_text(RISKY)
    request = check_request(tmp_path / "request.json", "/")
    facts.write_text("device: {known: false}\nrates: [{key: /ns/shop/sa/web, count: 9}]\n")
    found = told("--policy", policy, "--request", request, "--facts", facts)
    assert found["decision"] == "deny"
    (risk,) = found["risk"]
    assert (risk["model"], risk["score"], risk["level"]) == ("default", 65.0, "high")
    signals = {one["name"]: one for one in risk["signals"]}
    assert [(name, one["state"], one["counted"], one["weight"]) for name, one in signals.items()] == [
        ("new-device", "raised", 20.0, 20.0),
        ("odd", "error", 5.0, 5.0),
        ("often", "raised", 40.0, 40.0),
    ]
    assert signals["often"]["reason"] == "too many requests"
    assert signals["often"]["trace"]["value"] is True
    assert "claims" in signals["odd"]["error"]
    text = words(invoke("explain", "--policy", policy, "--request", request, "--facts", facts).stdout)
    assert "risk default 65 high" in text
    assert "often raised 40 of 40 too many requests" in text
    assert 'rate(workload.path, duration("1m")) → 9' in text


def test_without_facts_a_request_is_the_first_of_its_subject(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(RISKY)
    request = check_request(tmp_path / "request.json", "/")
    (risk,) = told("--policy", policy, "--request", request)["risk"]
    assert {one["name"]: one["state"] for one in risk["signals"]} == {
        "new-device": "raised",
        "odd": "error",
        "often": "quiet",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("device: {knwon: true}\n", "did you mean `known`?"), ("", "must be one mapping"), ("- 1\n", "facts.yaml:1:1")],
)
def test_facts_that_are_none_are_told(tmp_path: Path, text: str, complaint: str) -> None:
    policy, facts = tmp_path / "policy.yaml", tmp_path / "facts.yaml"
    policy.write_text(RISKY)
    facts.write_text(text)
    request = check_request(tmp_path / "request.json", "/")
    result = invoke("explain", "--policy", policy, "--request", request, "--facts", facts)
    assert result.exit_code != 0
    assert complaint in result.output + str(result.exception)
