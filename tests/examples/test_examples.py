"""Every example loads, is clean under `policy check --strict`, and passes `policy test`, which covers all of it."""

import re

import pytest
from examples.showing import FOLDER, NAMES, settings
from typer.testing import CliRunner

from extauthz.cli.commands import app

LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def run(*arguments: object) -> str:
    """What a command prints; it ends well."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_there_are_eleven_examples_and_the_index_leads_to_each() -> None:
    index = (FOLDER / "README.md").read_text()
    assert {link for link in LINK.findall(index) if not link.startswith("..")} == {
        f"{name}/README.md" for name in NAMES
    }
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_of_an_example_pass_and_cover_every_rule_and_branch(name: str) -> None:
    assert ", 0 failed" in " ".join(run("policy", "test", "--coverage-min", 100, FOLDER / name / "policies").split())


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_clean_under_its_own_configuration(name: str) -> None:
    assert "no errors, revision" in run("policy", "check", "--strict", "--config", FOLDER / name / "extauthz.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_clean_without_a_configuration(name: str) -> None:
    assert "no errors, revision" in run("policy", "check", "--strict", FOLDER / name / "policies")


def test_two_examples_never_say_different_things_of_one_setting() -> None:
    together = settings(NAMES, {})
    assert [source["name"] for source in together["attributes"]] == ["approvals", "runs"]
    assert [source["name"] for source in together["identity"]["users"]] == ["ci", "idp"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_an_example_leads_somewhere(name: str) -> None:
    page = FOLDER / name / "README.md"
    links = LINK.findall(page.read_text())
    assert {"policies/policy.yaml", "policies/tests.yaml", "extauthz.yaml"} <= set(links)
    assert [link for link in links if not (page.parent / link).exists()] == []
