"""docs/envoy.md: its commands do what it shows, and it has every option."""

import re
from pathlib import Path

import pytest
from tutorial.walking import DOCS, walking
from typer.testing import CliRunner

from extauthz.cli.commands import app

PAGE = (DOCS / "envoy.md").read_text()


@pytest.mark.timeout(600)  # a dozen commands, most of them processes of their own
def test_every_command_of_the_page_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path, others=("8443", "8080")) as walk:
        walk.take(PAGE)
    assert walk.ran >= 12


def test_the_page_has_every_option_and_no_other() -> None:
    helped = CliRunner().invoke(app, ["envoy", "config", "--help"]).stdout
    there = set(re.findall(r"^  (--[a-z-]+)", helped, re.MULTILINE))
    table = PAGE[PAGE.index("## Options") :]
    rows = [re.split(r"(?<!\\)\|", line)[1] for line in table.splitlines() if line.startswith("| `--")]
    assert {name for row in rows for name in re.findall(r"--[a-z-]+", row)} == there
