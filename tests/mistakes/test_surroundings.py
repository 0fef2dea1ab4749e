"""Commands as processes where something is missing or full: no reader, no room, no home, no terminal, no UTF-8."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mistakes.lines import NOT_UTF8, furnish

from extauthz.cli.exit_codes import EXIT_CODES

EXTAUTHZ = Path(sys.executable).parent / "extauthz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    furnish(tmp_path)
    return tmp_path


def ran(line: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A line of the shell, in which `extauthz` is found. Nothing else is in its environment."""
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        cwd=folder,
        env={"PATH": f"{EXTAUTHZ.parent}:/usr/bin:/bin", **environ},
        check=False,
        text=True,
        errors="surrogateescape",
    )
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert ended.returncode in EXIT_CODES
    return ended


def test_a_reader_that_goes_away_is_no_news(folder: Path) -> None:
    assert ran("extauthz policy schema | head -1", folder).stderr == ""


def test_a_full_disk_is_told(folder: Path) -> None:
    ended = ran("extauthz policy schema > /dev/full", folder)
    assert ended.returncode == 1
    assert ended.stderr == "extauthz: the output can't be written: no space left on device\n"


def test_with_no_output_at_all_a_command_does_its_work(folder: Path) -> None:
    assert ran("extauthz keys generate made.json >&- 2>&-", folder).returncode == 0
    assert (folder / "made.json").exists()


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "ascii", "COLUMNS": "1", "LINES": "1", "TERM": "dumb"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "TERM": "no-such-terminal", "HOME": "/no/such/home"},
    ],
    ids=["ascii", "C"],
)
def test_no_environment_matters(environ: dict[str, str], folder: Path) -> None:
    ended = ran(f"extauthz policy check '{NOT_UTF8}' --strict", folder, **environ)
    assert ended.returncode == 1
    assert "1 rule, no errors, 1 warning" in ended.stdout


def test_ctrl_c_ends_a_command_that_follows_with_130(folder: Path) -> None:
    (folder / "audit.jsonl").write_text('{"kind": "decision"}\n')
    process = subprocess.Popen(
        [EXTAUTHZ, "audit", "tail", "audit.jsonl", "--follow", "--format", "json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    assert "no record" in process.stderr.readline()  # it follows by now
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
