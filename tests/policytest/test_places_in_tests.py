"""Places and times in tests of policies: what a case gives, and what its conditions see."""

from pathlib import Path

import pytest
from policytest.shop import invoke

POLICY = """\
apiVersion: extauthz/v1
kind: Definitions
metadata: {name: d}
spec:
  windows: {office-hours: {zone: Europe/Berlin, hours: [{from: "08:00", to: "18:00"}]}}
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: hours, paths: [/hours], effect: allow, when: 'within(now, "office-hours")'}
    - {name: listed, paths: [/listed], effect: allow, when: 'listed(client.ip, "partners")'}
    - {name: hidden, paths: [/hidden], effect: allow, when: '!geo.anonymous && geo.continent == "EU"'}
    - {name: slow, paths: [/slow], effect: allow, when: travel.speed_kmh < 900.0 && travel.distance_km > 300.0}
---
apiVersion: extauthz/v1
kind: PolicyTest
metadata: {name: t}
spec:
  now: 2026-11-19T12:00:00+01:00
  cases:
    - {name: case, CASE}
"""
LONDON = "{latitude: 51.5, longitude: 0, accuracy_km: 10}"
PARIS = "latitude: 48.86, longitude: 2.35"


@pytest.mark.parametrize(
    ("case", "decision"),
    [
        ("request: {path: /hours}", "allow"),
        ("request: {path: /hours}, now: 2026-11-19T18:00:00+01:00", "deny"),
        ("request: {path: /listed, source_ip: 192.0.2.1}, facts: {addresses: {partners: [192.0.2.0/24]}}", "allow"),
        ("request: {path: /listed, source_ip: 192.0.3.1}, facts: {addresses: {partners: [192.0.2.0/24]}}", "deny"),
        ("request: {path: /listed, source_ip: 192.0.2.1}", "deny"),
        ("request: {path: /hidden}, facts: {geo: {anonymous: false, continent: EU}}", "allow"),
        ("request: {path: /hidden}, facts: {geo: {anonymous: true, continent: EU}}", "deny"),
        ("request: {path: /hidden}, facts: {geo: {continent: EU}}", "deny"),
        (f"request: {{path: /slow}}, facts: {{geo: {LONDON}, last_place: {{{PARIS}, ago: 2h}}}}", "allow"),
        (f"request: {{path: /slow}}, facts: {{geo: {LONDON}, last_place: {{{PARIS}, ago: 9m}}}}", "deny"),
        (f"request: {{path: /slow}}, facts: {{geo: {LONDON}}}", "deny"),
        (f"request: {{path: /slow}}, facts: {{last_place: {{{PARIS}, ago: 2h}}}}", "deny"),
    ],
)
def test_a_case_gives_places_and_times(tmp_path: Path, case: str, decision: str) -> None:
    written = f"{case}, user: {{sub: u}}, expect: {{decision: {decision}}}"
    (tmp_path / "p.yaml").write_text(POLICY.replace("CASE", written))
    result = invoke("test", tmp_path / "p.yaml")
    assert result.exit_code == 0, result.stdout
