"""Somebody who is woken by an alert finds a section for it, and no section is for an alert that is gone."""

import re

import yaml
from docs.conftest import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = yaml.safe_load((ROOT / "envoy" / "observability" / "alerts.yml").read_text())
WOKEN = [rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]]
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.DOTALL | re.MULTILINE))


def test_every_alert_has_its_section_in_the_order_of_the_alerts() -> None:
    assert list(SECTIONS) == WOKEN


def test_every_section_says_what_to_look_at_and_what_to_do() -> None:
    short = [
        name
        for name, text in SECTIONS.items()
        if not re.search(r"\*Look", text) or not re.search(r"do:\*", text, re.IGNORECASE)
    ]
    assert short == []


def test_metrics_that_the_runbook_names_are_documented() -> None:
    known = set(re.findall(r"extauthz_\w+", (ROOT / "docs" / "metrics.md").read_text()))
    assert set(re.findall(r"extauthz_\w+", RUNBOOK)) - known == set()
