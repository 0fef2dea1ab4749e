"""`extauthz policy test --junit`: the file for whoever shows test runs."""

from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from policytest.shop import invoke

from extauthz.cli.policy_junit import junit
from extauthz.policy.sources import SourcePlace
from extauthz.policy.trial import Outcome


def test_junit_is_told_test_by_test(folder: Path) -> None:
    file = folder / "payments_test.yaml"
    file.write_text(file.read_text().replace("rule: payments/large-transfer}", "rule: null}"))
    result = invoke("test", folder, "--format", "junit")
    assert result.exit_code == 1
    root = ET.fromstring(result.stdout)  # noqa: S314 - our own
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "6", "1")
    (suite,) = root
    assert (suite.tag, suite.get("name"), suite.get("file")) == ("testsuite", "payments", str(file))
    first = suite[0]
    assert first.attrib == {
        "classname": "payments",
        "name": "large transfer asks for a second factor",
        "file": str(file),
        "line": "7",
    }
    (failure,) = first
    assert failure.get("message") == "rule: expected nothing, got `payments/large-transfer`"
    assert "variables.amount > 1000.0  → true" in (failure.text or "")
    assert all(len(case) == 0 for case in suite[1:])


@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=2))
def test_junit_is_well_formed_whatever_names_hold(suite: str, case: str, differences: list[str]) -> None:
    outcome = Outcome(
        suite=suite,
        case=case,
        place=SourcePlace("t.yaml", 1, 1),
        decision="deny",
        rule=None,
        reason="no-rule-allows",
        status=403,
        rules=(),
        traces={},
        others=(),
        differences=tuple(differences),
    )
    root = ET.fromstring(junit([outcome]))  # noqa: S314 - our own
    assert root.get("failures") == "1"
