"""Each sample has one fault, which is named in its first line, and nothing else is found in it. A new case is a file.

In those of `harmless/` nothing is found, though they look like others.
Those in `configured/` are judged beside a configuration of extauthz, which their second line has.
"""

from pathlib import Path

import pytest
import yaml

from extauthz.cli.envoy_validate import configured_by
from extauthz.envoy.validate.findings import Finding
from extauthz.envoy.validate.run import validate
from extauthz.envoy.validate.table import SUBJECTS
from extauthz.settings import load_settings

HERE = Path(__file__).parent
SAMPLES = sorted(path for path in (HERE / "samples").glob("*.yaml") if path.stem != "good")
CONFIGURED = sorted((HERE / "configured").glob("*.yaml"))
HARMLESS = sorted((HERE / "harmless").glob("*.yaml"))
GOOD = HERE / "samples" / "good.yaml"


def found_in(file: Path) -> tuple[Finding, ...]:
    return validate([(file.name, file.read_text())])


def beside(file: Path, settings: str, folder: Path) -> tuple[Finding, ...]:
    """What is found in a file for a server with these settings."""
    written = {"policies": ["policies/"], **yaml.safe_load(settings)}
    (folder / "extauthz.yaml").write_text(yaml.safe_dump(written))
    configured = configured_by(load_settings(folder / "extauthz.yaml"))
    return validate([(file.name, file.read_text())], configured)


@pytest.mark.parametrize("sample", [GOOD, *HARMLESS], ids=lambda path: path.stem)
def test_nothing_is_found_in_a_good_configuration(sample: Path) -> None:
    assert found_in(sample) == ()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_fault_of_a_sample_is_found_and_nothing_else(sample: Path) -> None:
    rule = sample.read_text().partition("\n")[0].removeprefix("# finds: ")
    assert [one.rule for one in found_in(sample)] == [rule]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_place_of_a_finding_is_in_what_differs_from_the_good_one(sample: Path) -> None:
    """Or, where something is missing, in what it is missing from: a line that leads there."""
    (finding,) = found_in(sample)
    lines = sample.read_text().splitlines()
    assert 1 < finding.line <= len(lines)
    steps = [step.rpartition("[")[0] or step for step in finding.path.split(".")]
    assert any(step.strip('["') in lines[finding.line - 1] for step in steps) or "- " in lines[finding.line - 1]


@pytest.mark.parametrize("sample", CONFIGURED, ids=lambda path: path.stem)
def test_what_the_server_expects_otherwise_is_found_and_nothing_else(sample: Path, tmp_path: Path) -> None:
    first, second, _ = sample.read_text().split("\n", 2)
    findings = beside(sample, second.removeprefix("# extauthz: "), tmp_path)
    assert [one.rule for one in findings] == [first.removeprefix("# finds: ")]


def test_a_server_that_expects_what_is_there_finds_nothing(tmp_path: Path) -> None:
    assert beside(GOOD, "{}", tmp_path) == ()


def test_every_rule_has_a_sample() -> None:
    shown = {path.read_text().partition("\n")[0].removeprefix("# finds: ") for path in (*SAMPLES, *CONFIGURED)}
    of_policies = {"configured-hold"}  # in test_command: it needs policies
    assert shown | of_policies == {rule.id for _, rules in SUBJECTS for rule in rules}
