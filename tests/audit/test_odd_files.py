"""`audit verify`, `find`, `tail` and `export` on what is no audit file: lines of any length, pipes, devices."""

import os
from pathlib import Path

import pytest
from audit.auditing import decision
from audit_journal import AuditJournal
from typer.testing import CliRunner, Result

from extauthz.cli.commands import app
from extauthz.history import tail
from extauthz.record import file_lines


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


COMMANDS = (["verify"], ["find"], ["tail"], ["find", "--oldest-first"], ["export", "--out", "out.csv"])


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An audit file whose second line is longer than a line can be."""
    monkeypatch.chdir(tmp_path)
    for module in (file_lines, tail):
        monkeypatch.setattr(module, "LONGEST_LINE", 4_000)
    audit = AuditJournal(tmp_path / "audit.jsonl")
    audit.record(decision(1))
    audit.close()
    first, *others = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "audit.jsonl").write_bytes(b"".join((first, b"x" * 200_000 + b"\n", *others)))
    return tmp_path / "audit.jsonl"


def test_a_line_that_is_too_long_is_one_mistake_in_its_place(long: Path) -> None:
    ended = invoke("verify", long)
    told = f"{long}:2: stray: line too long: longer than any that is written"
    assert (ended.exit_code, ended.stdout.splitlines()[0]) == (1, told)
    assert ended.stdout.splitlines()[-1] == "4 lines of 1 writer in 1 file: 1 mistake"


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_a_line_that_is_too_long_is_no_record_and_is_counted(long: Path, command: list[str]) -> None:
    ended = invoke(*command, long)
    assert ended.exit_code == 0, ended.output
    assert "1 line is no record" in ended.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_and_a_device_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        ended = invoke(*command, path)
        assert (ended.exit_code, str(ended.exception)) == (
            1,
            f"{path}: can't read the audit file: not a regular file",
        )
