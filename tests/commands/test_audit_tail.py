"""`extauthz audit tail`: the last records of a real audit file, and what is written to it, through rotations."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from audit.auditing import decision, ids
from audit_journal import AuditJournal
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from extauthz.cli.audit_lines import told
from extauthz.cli.commands import app
from extauthz.cli.quickstart.demo import EXTAUTHZ
from extauthz.errors import ExtauthzError
from extauthz.history import tail
from extauthz.history.tail import Tail
from extauthz.identity import spiffe
from extauthz.record.decision import DecisionRecord
from extauthz.record.life_lines import LifeLine
from extauthz.values.decisions import Challenge, ChallengeDemand, Deny
from extauthz.values.identity import Identity, User
from extauthz.values.request import Glimpse

ALICE = User(sub="alice", iss="https://idp.example.com")
WEB = "spiffe://prod.example.org/ns/shop/sa/web"


def write(path: Path, *records: DecisionRecord) -> Path:
    audit = AuditJournal(path)
    for record in records:
        audit.record(record)
    audit.close()
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["audit", "tail", *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four decisions: an allow, a deny of a workload, a challenge of a user, a request that could not be read."""
    denied = replace(
        decision(2, "/v1/a"),
        decision=Deny(rule="pay/frozen", reason="account-frozen"),
        identity=Identity(workload=spiffe.parse(WEB, verified_by="source_principal")),
    )
    demands = tuple(
        ChallengeDemand(rule=rule, factors=("totp",), max_age=60, binding="b", uses=None)
        for rule in ("pay/large", "pay/new-device")
    )
    challenged = replace(decision(3, "/v1/b", user=ALICE), decision=Challenge(rule="pay/large", demands=demands))
    seen = Glimpse(id="", method="GET", host="Example.com", path="//pay", source_ip="203.0.113.9")
    refused = Deny(reason="ambiguous-path", status=400)
    detail = "path: an empty segment"
    unread = replace(decision(4), request=None, identity=None, decision=refused, glimpse=seen, detail=detail)
    return write(tmp_path / "audit.jsonl", decision(1), denied, challenged, unread)


def test_each_decision_is_one_line_for_people(file: Path) -> None:
    at, rows = "2026-09-21T14:13:20.123Z", [line.split("  ") for line in invoke(file).stdout.splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        [at, "allow", "p/r", "allowed", "GET example.com/pay", "-", "-", "d-1"],
        [at, "deny", "pay/frozen", "account-frozen", "GET example.com/v1/a", "-", WEB, "d-2"],
        [at, "challenge", "pay/large", "proof-required", "GET example.com/v1/b", "alice", "-", "d-3"],
        [at, "deny", "-", "ambiguous-path (path: an empty segment)", "GET Example.com//pay", "-", "-", "d-4"],
    ]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["-n", "2"], [3, 4]),
        (["-n", "0"], []),
        (["--decision", "deny"], [2, 4]),
        (["--decision", "blocked"], [2, 3, 4]),
        (["--decision", "deny", "-n", "1"], [4]),
        (["--rule", "pay/large"], [3]),
        (["--rule", "pay/new-device"], [3]),
        (["--rule", "pay/*"], [2, 3]),
        (["--rule", "pay/new-*"], [3]),
        (["--rule", "*/*"], [1, 2, 3]),
        (["--subject", "alice"], [3]),
        (["--subject", WEB], [2]),
        (["--subject", WEB, "--decision", "deny", "--rule", "pay/frozen"], [2]),
    ],
)
def test_programs_get_the_lines_as_they_are(file: Path, options: list[str], found: list[int]) -> None:
    done = invoke(file, *options, "--format", "json")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [line for line in file.read_text().splitlines() if "event" not in json.loads(line)]
    assert done.stdout.splitlines() == [lines[number - 1] for number in found]
    assert [json.loads(line)["decision_id"] for line in done.stdout.splitlines()] == [f"d-{number}" for number in found]


def test_without_a_file_it_is_that_of_the_configuration(file: Path) -> None:
    config = file.with_name("extauthz.yaml")
    config.write_text("policies: [policies]\naudit: {path: audit.jsonl}\n")
    assert invoke("--config", config).stdout == invoke(file).stdout != ""
    config.write_text("policies: [policies]\n")
    assert str(invoke("--config", config).exception) == f"{config}: no `audit.path` is set; name the audit files"


@pytest.mark.parametrize(
    ("kind", "fields", "what"),
    [
        ("policy.in-force", {"revision": "sha256:0a3a"}, "sha256:0a3a"),
        ("keys.changed", {"details": {"makes": "k2", "keys": ["k1", "k2"]}}, "k2"),
        ("audit.started", {"details": {"version": "0.1.0", "key": "k1"}}, "0.1.0"),
        ("challenge.met", {"revision": "sha256:0a3a", "challenge": "c1", "factor": "totp"}, "totp c1"),
        ("grant.given", {"factor": "approval", "approval": "a1", "grant": "a1"}, "approval a1"),
    ],
)
def test_an_event_tells_what_it_is_about(kind: str, fields: dict[str, Any], what: str) -> None:
    event = LifeLine(v=1, event=kind, time="2026-11-21T10:00:00.000000000Z", by="server", **fields)
    assert told(event).plain.split("  ")[-3] == what


def test_where_nothing_is_as_wanted_it_says_so(file: Path) -> None:
    done = invoke(file, "--subject", "bob")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no record is like that\n")


def test_broken_lines_are_counted_and_one_that_is_not_ended_is_not_read_yet(file: Path) -> None:
    whole = file.read_text()
    file.write_text("{}\n\n" + whole + "no record\n" + whole.splitlines()[0][:-1])
    done = invoke(file, "--format", "json")
    assert (len(done.stdout.splitlines()), done.stderr) == (4, "2 lines are no records\n")


@pytest.mark.parametrize(("content", "told"), [("", ""), ("x\ny\n", ", but 2 other lines")])
def test_a_file_without_records_is_an_error(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "notes.txt").write_text(content)
    done = invoke(tmp_path / "notes.txt")
    assert done.exit_code == 1
    assert str(done.exception).startswith(f"{tmp_path}/notes.txt: holds no record of a decision{told}; ")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = invoke(tmp_path / "none", "--follow")
    assert str(done.exception) == f"{tmp_path}/none: can't read the audit file: no such file or directory"


def test_no_request_moves_the_cursor(tmp_path: Path) -> None:
    user = User(sub="\x1b[2Jmallory\n\x9b", iss="https://idp.example.com")
    said = invoke(write(tmp_path / "audit.jsonl", decision(1, "/[bold]x", user=user))).stdout
    assert all(character.isprintable() for character in said.removesuffix("\n"))
    assert "/[bold]x" in said
    assert "mallory" in said


contents = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=12)


@given(contents, contents, st.binary(max_size=9).filter(lambda end: b"\n" not in end), st.integers(1, 40))
def test_every_whole_line_is_read_once_from_the_end_or_as_it_comes(
    before: list[bytes], after: list[bytes], unfinished: bytes, block: int
) -> None:
    with TemporaryDirectory() as folder, patch.object(tail, "BLOCK", block):
        path = Path(folder) / "audit.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in before) + unfinished)
        with Tail(path) as tailed:
            assert list(tailed.last()) == before[::-1]
            assert list(tailed.appended()) == []
            with path.open("ab") as file:
                file.write(b"\n" + b"".join(line + b"\n" for line in after) + b"begun")
            assert list(tailed.appended()) == [unfinished, *after]
            path.write_bytes(b"")
            assert list(tailed.appended()) == []
            path.write_bytes(b"anew\n")
            assert list(tailed.appended()) == [b"anew"]


def test_what_is_still_written_to_a_file_that_was_moved_away_is_read_before_the_new_one(tmp_path: Path) -> None:
    path, moved = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    path.write_text("1\n")
    with Tail(path) as tailed:
        with path.open("a") as late:
            path.rename(moved)
            assert list(tailed.appended()) == []
            path.write_text("3\n")
            assert list(tailed.appended()) == []
            late.write("2\n")
        assert list(tailed.appended()) == [b"2", b"3"]
        moved.write_text("no more of this one\n")
        with path.open("a") as file:
            file.write("4\n")
        assert list(tailed.appended()) == [b"4"]


def test_a_new_file_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("1\n")
    with Tail(path) as tailed:
        path.rename(tmp_path / "old")
        path.mkdir()
        assert list(tailed.appended()) == []
        with pytest.raises(ExtauthzError, match="can't read the audit file: is a directory"):
            list(tailed.appended())


@contextmanager
def following(path: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*EXTAUTHZ, "audit", "tail", str(path), "--follow", "--format", "json", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # a pipe is buffered unless the command takes care
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def next_id(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    told: str = json.loads(process.stdout.readline())["decision_id"]
    return told


def test_what_is_decided_is_followed_through_a_rotation_until_ctrl_c(file: Path) -> None:
    audit = AuditJournal(file)
    with following(file, "--lines", "1") as process:
        assert next_id(process) == "d-4"
        for number in (5, 6):
            audit.record(decision(number))
            assert next_id(process) == f"d-{number}"
        file.rename(file.with_suffix(".old"))
        audit.record(decision(7))
        assert next_id(process) == "d-7"
        audit.close()
        assert ids(file) == ["d-7"]
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate(timeout=30)
        assert (process.returncode, printed, told) == (130, "", "")
