"""`extauthz` itself: what its help says, and how it ends on Ctrl-C from its first moment on."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from extauthz.cli.commands import app

ROOT = Path(__file__).parents[2]
TELL_IN_ONE_WAY = {
    *(("serve",), ("quickstart",)),
    *(("policy", "schema"), ("audit", "schema"), ("config", "schema"), ("keys", "audit")),
}


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, by its words."""
    waiting: list[tuple[str, ...]] = [()]
    root = get_command(app)
    while waiting:
        words = waiting.pop()
        yield words
        found = root
        for word in words:
            found = found.commands[word]  # type: ignore[attr-defined]  # it is a group: it had this command
        waiting += [(*words, name) for name in getattr(found, "commands", ())]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_shows_values_only_where_there_are_any(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert "--help  " in shown.output
    assert not re.search(r"^  -.*(bool|list\[)|\[\[|\.\.\.\}", shown.output, re.MULTILINE)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_lists_commands_with_whole_sentences(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    _, _, listed = shown.output.partition("Commands:\n")
    assert all(line.endswith(".") and not line.endswith("..") for line in listed.splitlines())


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_tells_programs_too(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"]).output
    if "Commands:" in shown or words in TELL_IN_ONE_WAY:
        return  # a group; a server and its demo; always JSON
    assert re.search(r"^  --format <(text|yaml)\|json\b", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "during"),
    [("quickstart", "typer"), ("policy", "extauthz.policy.load"), ("quickstart", "httpx"), ("serve", "grpc")],
)
def test_ctrl_c_during_the_imports_ends_silently(command: str, during: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "extauthz", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    for line in process.stderr:  # one for each module, once it is there
        assert line.startswith("import time:")
        if line.rpartition("|")[2].strip() == during:
            break
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed == ""
    assert [line for line in told.splitlines() if not line.startswith("import time:")] == []


def test_make_says_that_the_installation_takes_a_while() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "install"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.search(r"^echo .*takes", planned.stdout, re.MULTILINE)
