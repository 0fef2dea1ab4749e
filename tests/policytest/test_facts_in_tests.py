"""`extauthz policy test`: what look-ups would have answered, as cases give it."""

import json
from pathlib import Path

import pytest
from policytest.shop import invoke
from policytest.writing import cases, policy


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        ("facts: {session: {idle: 14m}}", "allow"),
        ("facts: {session: {idle: 16m}}", "challenge"),
        ("facts: {session: {idle: 1m, age: 13h}}", "challenge"),
        ("facts: {session: {idle: 16m}, grants: [{rule: p/wakes, factor: totp, age: 1m}]}", "allow"),
        ("now: 2026-11-21T10:20:00Z", "challenge"),
        ("now: 2026-11-21T10:10:00Z", "allow"),
    ],
)
def test_a_case_says_how_idle_a_session_is_else_its_token_does(folder: Path, given: str, decision: str) -> None:
    policy(
        folder,
        "    - {name: users, when: has(user.sub), effect: allow}\n"
        "    - name: wakes\n"
        '      when: session.idle > duration("15m") || session.age > duration("12h")\n'
        "      effect: challenge\n"
        "      challenge: {factors: [totp], max_age: 5m, bind: session}\n",
    )
    user = "user: {sub: u1, issued_at: 2026-11-21T10:00:00Z}"
    cases(folder, f"{user}, {given}, expect: {{decision: {decision}}}")
    if "now:" not in given:
        cases(folder, f"now: 2026-11-21T10:00:00Z, {user}, {given}, expect: {{decision: {decision}}}")
    result = invoke("test", folder / "p.yaml", folder / "t.yaml")
    assert result.exit_code == 0, result.stdout


def test_a_session_can_not_be_idle_for_longer_than_it_is_old(folder: Path) -> None:
    policy(folder, "    - {name: a, effect: allow}\n")
    cases(folder, "facts: {session: {idle: 2m, age: 1m}}, expect: {decision: allow}")
    result = invoke("test", folder / "p.yaml", folder / "t.yaml")
    assert result.exit_code == 1
    assert "let `age` be `idle` or more" in str(result.exception)


RISK = """
apiVersion: extauthz/v1
kind: RiskModel
metadata: {name: default}
spec:
  variables: {amount: double(request.query.amount)}
  signals:
    new-device: {when: "!device.known", weight: 20, reason: appears from a new device}
    often: {when: 'rate(user.sub, duration("1m")) > 3', weight: 40, reason: too many requests}
    unusual: {when: 'variables.amount > 10.0 * baseline("amount", user.sub).p95', weight: 5, reason: an unusual amount}
    far: {when: travel.speed_kmh > 900.0, weight: 7, half_life: 1h, reason: too far}
    unsafe: {when: "!attributes.mdm.compliant", weight: 3, reason: a device that is not safe}
    first: {when: "!seen(request.path)", weight: 1, reason: never here before}
  levels: {low: 0, high: 30}
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: all, effect: allow, when: risk.level == "low"}
"""
RISK_CASES = """
---
apiVersion: extauthz/v1
kind: PolicyTest
metadata: {name: p}
spec:
  cases:
    - name: as always
      request: {path: "/?amount=4", source_ip: 192.0.2.7}
      user: {sub: u1}
      facts:
        device: {known: true}
        baselines: {amount: {count: 9, p95: 3.0}}
        geo: {latitude: 59.3, longitude: 18.1}
        last_place: {latitude: 59.9, longitude: 10.8, ago: 3h}
        sources: {mdm: {compliant: true}}
        seen: [/]
      expect: {decision: allow, risk: {score: 0, level: low, signals: []}}
    - name: nothing as always
      request: {path: "/?amount=400"}
      user: {sub: u1}
      facts:
        device: {known: false}
        rates: [{key: u1, window: 1m, count: 4}, {key: u1, window: 1h, count: 1}]
        baselines: {amount: {count: 9, p95: 3.0}}
        geo: {latitude: 59.3, longitude: 18.1}
        last_place: {latitude: -33.9, longitude: 151.2, ago: 3h}
        sources: {mdm: {compliant: false}}
      expect:
        decision: deny
        reason: no-rule-allows
        risk: {score: 76, level: high, signals: [far, first, new-device, often, unsafe, unusual]}
    - name: it was too far two hours ago, and nobody knows of the device
      request: {path: "/?amount=4"}
      user: {sub: u1}
      facts:
        baselines: {amount: {count: 9, p95: 3.0}}
        geo: {latitude: 59.3, longitude: 18.1}
        last_place: {latitude: 59.3, longitude: 18.1, ago: 1h}
        raised: {far: 1h}
        seen: [/]
      expect: {decision: allow, risk: {score: 26.5, signals: [far, new-device, unsafe]}}
"""


def test_cases_give_what_look_ups_would_have_answered_and_expect_the_risk(tmp_path: Path) -> None:
    file = tmp_path / "risk.yaml"
    file.write_text(RISK + RISK_CASES)
    result = invoke("test", str(file))
    assert result.exit_code == 0, result.output
    file.write_text(RISK + RISK_CASES.replace("score: 76, level: high", "score: 77, level: top"))
    result = invoke("test", "--format", "json", str(file))
    assert result.exit_code == 1
    (failed,) = (case for case in json.loads(result.stdout)["cases"] if case["differences"])
    assert failed["differences"] == [
        "risk: `score`: expected `77.0`, got `76.0`",
        "risk: `level`: expected `top`, got `high`",
    ]
    (risk,) = failed["risk"]
    assert {one["name"]: (one["counted"], one["trace"]["value"]) for one in risk["signals"]} == {
        "new-device": (20.0, True),
        "often": (40.0, True),
        "unusual": (5.0, True),
        "far": (7.0, True),
        "unsafe": (3.0, True),
        "first": (1.0, True),
    }
