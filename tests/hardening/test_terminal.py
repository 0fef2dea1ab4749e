"""What requests brought, on the terminal of whoever reads it: it steers nothing, and nothing stands where it is not."""

import json
import shlex
import sys
from pathlib import Path
from typing import Final

import pytest
from commanding import command
from consoles import in_terminal
from policy.making import caller, compiled, document, evaluate, http, rule
from replay.recording import write

from extauthz.cli.quickstart.demo import EXTAUTHZ
from extauthz.record.decision import DecisionRecord

ODD: Final = "\x1b[2J\x1b]0;owned\x07m\u202eallory\x9b31m\x7f\r\n\u2028\U000e0041end"
"""Clears a screen, names a window, turns letters around, begins a control sequence by one letter, can't be seen."""
PATHS: Final = ("/v1/transfers/1?note=%1b%5b2J", "/v1/transfers/2%E2%80%AEx", "/x?%1b=1&amount=%C2%9B")
POLICY: Final = document("p", rule("all", "allow"))
NEWER: Final = document("p", rule("all", "allow"), rule("no", "deny"))
READING: Final = (
    "audit tail audit.jsonl",
    "audit find audit.jsonl",
    "audit verify audit.jsonl",
    "policy replay --policy new.yaml --audit audit.jsonl --baseline old.yaml",
    "policy discover --policy old.yaml --audit audit.jsonl",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recorded decisions on requests of somebody whose name, address and decision ids are odd."""
    policies, records = compiled(POLICY), []
    for path in PATHS:
        request, identity = http(path, "POST"), caller(sub=ODD)
        made = evaluate(policies, request, identity)
        records.append(
            DecisionRecord(
                decision_id=ODD,
                revision=policies.revision,
                decision=made.decision,
                rules=made.rules,
                request=request,
                identity=identity,
                started_ns=1_795_000_000_000_000_000,
                ended_ns=1_795_000_000_000_100_000,
            )
        )
    write(records, tmp_path / "audit.jsonl")
    (tmp_path / "old.yaml").write_text(json.dumps(POLICY))
    (tmp_path / "new.yaml").write_text(json.dumps(NEWER))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unseen(printed: str) -> set[str]:
    """What a terminal obeys or does not show, but for the ends of lines."""
    return {one for one in printed.replace("\n", "") if not one.isprintable()}


ALL: Final = """
import sys
from extauthz.cli import main
for line in sys.argv[1:]:
    print("running:", line, flush=True)
    sys.argv = ["extauthz", *line.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, line
"""
"""Runs one command after the other: for each of them, to start takes longer than all else."""


def test_no_record_steers_a_terminal(folder: Path) -> None:
    """What is told of progress is our own, and draws itself anew: it goes elsewhere."""
    lines = [f"{arguments} --format {output}" for arguments in READING for output in ("text", "json")]
    told = shlex.join([sys.executable, "-c", ALL, *lines])
    first, *printed = in_terminal(["sh", "-c", f"{told} 2> told"], columns=400).split("running: ")
    assert (first, unseen((folder / "told").read_text())) == ("", set())
    for line, said in zip(lines, printed, strict=True):
        assert said.startswith(f"{line}\n")
        assert unseen(said) == set(), line
        assert line.startswith(("audit verify", "policy discover")) or "allory" in said, line


def test_programs_are_told_the_very_text(folder: Path) -> None:
    """Escapes are JSON's own, and a line of the audit is the one in the file: its chain goes on from it."""
    ended = command(*READING[0].split(), "--format", "json", folder=folder)
    assert ended.stdout.encode() in (folder / "audit.jsonl").read_bytes()
    told = json.loads(command(*READING[3].split(), "--format", "json", folder=folder).stdout)
    assert [one["subject"] for one in told["by_subject"]] == [f"{ODD} at https://idp.example"]


def test_a_draft_of_a_path_that_is_not_seen_is_the_same_policy(folder: Path) -> None:
    drafted = command(*READING[4].split(), folder=folder).stdout
    assert "\\u202E" in drafted
    (folder / "draft.yaml").write_text(drafted)
    assert command("policy", "test", "draft.yaml", folder=folder).returncode == 0


@pytest.mark.usefixtures("folder")
def test_no_error_steers_a_terminal() -> None:
    names = shlex.join([*EXTAUTHZ, "audit", "tail", f"{ODD}.jsonl"])
    printed = in_terminal(["sh", "-c", f"{names}; true"], columns=400)
    assert "can't read the audit file" in printed
    assert unseen(printed) == set()


LOGS: Final = """
import logging
import structlog
from extauthz.app.logs import configure_logs

configure_logs()
odd = {odd!r}
log = structlog.get_logger("server")
log.warning("caller-refused", names=odd, error=odd.replace("\\r\\n", "").replace("\\u2028", ""))
logging.getLogger("others").warning("received " + odd)
try:
    raise ValueError(odd)
except ValueError:
    log.exception("call-failed")
"""


def test_no_line_of_the_log_steers_a_terminal() -> None:
    printed = in_terminal([sys.executable, "-c", LOGS.format(odd=ODD)], columns=400)
    assert unseen(printed) == set()
    assert printed.count("allory") == 4
    assert printed.count("\\x1b[2J") >= 4
