"""`extauthz audit find` and `export`: the records that are meant, of several files, on a screen or as a table."""

import csv
import json
import os
import re
import time
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from audit.auditing import START, decision
from audit_journal import AuditJournal
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from extauthz.cli.audit_wanted import moment
from extauthz.cli.commands import app
from extauthz.history.table import COLUMNS
from extauthz.identity import spiffe
from extauthz.record.decision import DecisionRecord
from extauthz.record.instants import nanoseconds_of, rfc3339
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.values.decisions import Deny
from extauthz.values.identity import Identity, Subject, User
from extauthz.values.span_ids import SpanIds

MINUTE = 60 * 10**9
ALICE = User(sub="alice", iss="https://idp.example.com", groups=("staff", "it"))
WEB = "spiffe://prod.example.org/ns/shop/sa/web"
TRACE = "0af7651916cd43dd8448eb211c80319c"
AT = "2026-09-21T14:{}"


def record(minute: int, path: str = "/pay", user: User | None = None, **request: Any) -> DecisionRecord:
    """A decision so many minutes after the first."""
    at = START + minute * MINUTE
    return replace(decision(minute, path, user, **request), started_ns=at, ended_ns=at + 250_000)


def write(path: Path, *records: Record) -> None:
    audit = AuditJournal(path)
    for one in records:
        audit.record(one)
    audit.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, the older one first; the second has an event as well. The first minute is 14:13 UTC."""
    write(
        tmp_path / "audit-20260921T141500Z-1.jsonl",
        record(0, path="/v1/a"),
        replace(record(1, "/v1/b", ALICE), decision=Deny(rule="pay/frozen", reason="account-frozen")),
    )
    write(
        tmp_path / "audit.jsonl",
        record(2, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}),
        LifeRecord(
            kind="challenge.met",
            at_ns=START + 3 * MINUTE,
            subject=Subject("https://idp.example.com", "alice"),
            decision_id="d-1",
            rule="pay/large",
            challenge="c1",
            factor="totp",
            by="requester",
            links=(SpanIds(trace_id=int(TRACE, 16), span_id=1, sampled=True),),
        ),
        replace(record(4, "/=1"), identity=Identity(workload=spiffe.parse(WEB, verified_by="source_principal"))),
    )
    return tmp_path


def run(
    folder: Path, *arguments: str, files: tuple[str, ...] = ("audit.jsonl", "audit-20260921T141500Z-1.jsonl")
) -> Result:
    with chdir(folder):
        return CliRunner().invoke(app, ["audit", *arguments[:1], *files, *arguments[1:]])


def found(folder: Path, *options: str) -> list[str]:
    """The ids of the decisions, and the kinds of the events, that are found."""
    ended = run(folder, "find", *options, "--format", "json")
    assert ended.exit_code == 0, ended.stderr
    return [line.get("event", line.get("decision_id")) for line in map(json.loads, ended.stdout.splitlines())]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["d-4", "challenge.met", "d-2", "d-1", "d-0"]),
        (["--oldest-first"], ["d-0", "d-1", "d-2", "challenge.met", "d-4"]),
        (["-n", "2"], ["d-4", "challenge.met"]),
        (["-n", "0", "--oldest-first"], ["d-0", "d-1", "d-2", "challenge.met", "d-4"]),
        (["--since", AT.format("15")], ["d-4", "challenge.met", "d-2"]),
        (["--until", AT.format("14:20.123456789")], ["d-0"]),
        (["--since", AT.format("14"), "--until", "2026-09-21T16:16:00+02:00"], ["d-2", "d-1"]),
        (["--subject", "alice"], ["challenge.met", "d-1"]),
        (["--subject", WEB], ["d-4"]),
        (["--workload", WEB], ["d-4"]),
        (["--decision", "deny"], ["d-1"]),
        (["--decision", "blocked"], ["d-1"]),
        (["--decision", "blocked", "--path", "/v1/a"], []),
        (["--reason", "account-frozen"], ["d-1"]),
        (["--reason", "account-*"], ["d-1"]),
        (["--reason", "*", "--decision", "deny"], ["d-1"]),
        (["--reason", "frozen"], []),
        (["--rule", "pay/large"], ["challenge.met"]),
        (["--host", "example.com", "--path", "/v1/*"], ["d-1", "d-0"]),
        (["--path", "/v1/a"], ["d-0"]),
        (["--path", "*"], ["d-4", "d-2", "d-1", "d-0"]),
        (["--host", "[a-z]*"], []),
        (["--trace", TRACE], ["challenge.met", "d-2"]),
        (["--id", "d-1"], ["challenge.met", "d-1"]),
        (["--event", "challenge"], ["challenge.met"]),
        (["--event", "decision", "--subject", "alice"], ["d-1"]),
        (["--event", "audit.stopped"], ["audit.stopped", "audit.stopped"]),
        (["--event", "grant"], []),
    ],
)
def test_only_what_is_meant_is_found(folder: Path, options: list[str], expected: list[str]) -> None:
    assert found(folder, *options) == expected


@pytest.mark.parametrize(
    "options", [["--trace", TRACE], ["--id", "d-1"], ["--event", "challenge"], ["--since", AT.format("15")]]
)
def test_tail_find_and_export_mean_the_same_by_an_option(folder: Path, options: list[str]) -> None:
    newest_first = found(folder, *options)
    assert newest_first
    assert run(folder, "export", "--out", "out.jsonl", *options).exit_code == 0
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    exported = [row["decision_id"] if row["event"] == "decision" else row["event"] for row in rows]
    assert exported == newest_first[::-1]
    tailed = run(folder, "tail", *options, "--format", "json", files=("audit.jsonl",)).stdout.splitlines()
    seen = [line.get("event", line.get("decision_id")) for line in map(json.loads, tailed)]
    assert seen == [one for one in exported if one not in {"d-0", "d-1"}], "what is in this file"


def test_an_answer_is_one_line_for_people(folder: Path) -> None:
    ended = run(folder, "find", "--subject", "alice")
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in ended.stdout.splitlines()]
    assert rows == [
        ["2026-09-21T14:16:20.123Z", "·", "challenge.met", "pay/large", "-", "totp c1", "alice", "by requester"],
        [
            "2026-09-21T14:14:20.123Z",
            "deny",
            "pay/frozen",
            "account-frozen",
            "GET example.com/v1/b",
            "alice",
            "-",
            "d-1",
        ],
    ]


def test_what_is_left_out_is_said(folder: Path) -> None:
    for limit in ("1", "2"):
        more = f"there are more records than the {limit} here; `--limit 0` shows all\n"
        assert run(folder, "find", "-n", limit).stderr == more
    assert run(folder, "find", "--id", "none").stderr == "no record is like that\n"
    (folder / "other").write_text("hello\n")
    other = run(folder, "find", files=("other",))
    assert (other.exit_code, "holds no record" in str(other.exception)) == (1, True)
    assert "is no kind of record" in run(folder, "find", "--event", "challenges").stderr
    assert "not a time" in run(folder, "find", "--since", "yesterday").stderr


@pytest.mark.parametrize(
    ("since", "until"), [("10m", "20m"), (AT.format("15"), AT.format("15")), ("2026-09-22", AT.format("15"))]
)
def test_times_that_nothing_is_between_are_a_mistake(folder: Path, since: str, until: str) -> None:
    for name in ("find", "export"):
        ended = run(folder, name, "--since", since, "--until", until, *(["--out", "t.csv"] if name == "export" else []))
        assert (ended.exit_code, "is not after --since" in ended.stderr) == (2, True), ended.output


def test_a_file_that_was_not_written_to_since_is_not_looked_at(folder: Path) -> None:
    old = folder / "audit-20260921T141500Z-1.jsonl"
    old.write_text("not looked at\n")
    os.utime(old, (0, 0))
    ended = run(folder, "find", "--since", AT.format("13"))
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_times_are_written_as_people_do() -> None:
    now = datetime(2026, 11, 22, 10, 42, tzinfo=UTC).timestamp()
    told = {
        text: moment(text, "--since", now=now).decode() for text in ("2h", "10:42", "10:43", "2026-11-22", "09:01:02")
    }
    assert told == {
        "2h": "2026-11-22T08:42:00.000000000Z",
        "10:42": "2026-11-22T10:42:00.000000000Z",
        "10:43": "2026-11-21T10:43:00.000000000Z",
        "2026-11-22": "2026-11-22T00:00:00.000000000Z",
        "09:01:02": "2026-11-22T09:01:02.000000000Z",
    }
    assert moment(None, "--since") == b""
    assert nanoseconds_of(rfc3339(START)) == START


def test_a_table_has_every_record_and_its_line(folder: Path) -> None:
    pa = pytest.importorskip("pyarrow.parquet")
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        ended = run(folder, "export", "--out", name)
        assert (ended.exit_code, ended.stdout) == (0, f"{name}: 5 records\n"), ended.stderr
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader((folder / "out.csv").read_text().splitlines()))
    assert [name for name, _ in COLUMNS] == list(rows[0])
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    parquet = pa.read_table(folder / "out.parquet")
    table = parquet.drop_columns(["time"]).to_pylist()
    events = ["decision", "decision", "decision", "challenge.met", "decision"]
    assert (
        [row["event"] for row in rows] == [line["event"] for line in lines] == [one["event"] for one in table] == events
    )
    assert [row["decision_id"] for row in rows] == ["d-0", "d-1", "d-2", "d-1", "d-4"]
    assert [one["trace_ids"] for one in table] == [[], [], [TRACE], [TRACE], []]
    assert rows[1] | {"subject": "alice", "status": "403", "groups": '["staff", "it"]', "decision": "deny"} == rows[1]
    assert (rows[1]["time"], lines[1]["time"]) == ("2026-09-21T14:14:20.123456789Z",) * 2
    assert parquet["time"].cast("int64").to_pylist() == [START + minute * MINUTE for minute in range(5)]
    assert [one["seq"] for one in table] == [2, 3, 2, 3, 4]
    kept = [json.loads(one["record"]) for one in table]
    assert kept == [line["record"] for line in lines] == [json.loads(row["record"]) for row in rows]


def test_no_cell_begins_like_a_formula(tmp_path: Path) -> None:
    write(tmp_path / "audit.jsonl", record(0, user=User(sub="=cmd()", iss="https://idp.example.com")))
    ended = run(tmp_path, "export", "--out", "out.csv", "--format", "json", files=("audit.jsonl",))
    assert json.loads(ended.stdout)["file"] == "out.csv"
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert row["subject"] == "'=cmd()"


@pytest.mark.parametrize("sub", ["a;=cmd()", 'a";=cmd()', "a\n=cmd()", "＝cmd()", "\n=cmd()"])  # noqa: RUF001 - it is meant
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_no_reader_of_a_table_finds_a_formula_in_a_name(tmp_path: Path, sub: str, between: str) -> None:
    """Spreadsheets separate by what their country does."""
    write(tmp_path / "audit.jsonl", record(0, user=User(sub=sub, iss="https://idp.example.com")))
    run(tmp_path, "export", "--out", "out.csv", files=("audit.jsonl",))
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file, delimiter=between) for cell in row]
    assert any("cmd()" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "＝"))]  # noqa: RUF001 - it is meant


def test_a_line_of_no_time_is_no_row_and_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "audit.jsonl", record(0), record(1))
    one = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)[1]
    broken = [re.sub(rb'"time":"[^"]*"', b'"time":"%s"' % time, one) for time in (b"9999-12-31T00:00:00Z", b"x", b"")]
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.writelines(broken)
    ended = run(tmp_path, "export", "--out", "out.jsonl", files=("audit.jsonl",))
    assert (ended.exit_code, ended.stdout) == (0, "out.jsonl: 2 records\n"), ended.output
    assert "3 lines are no records" in ended.stderr


@pytest.mark.parametrize("status", [b"9223372036854775808", b"-1", b"1" + b"0" * 60])
def test_a_line_with_a_status_that_no_table_holds_is_no_record(tmp_path: Path, status: bytes) -> None:
    pytest.importorskip("pyarrow")
    write(tmp_path / "audit.jsonl", record(0))
    one = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)[1]
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(one.replace(b'"status":200', b'"status":' + status))
    ended = run(tmp_path, "export", "--out", "out.parquet", files=("audit.jsonl",))
    assert (ended.exit_code, ended.stdout) == (0, "out.parquet: 1 record\n"), ended.output
    assert "1 line is no record" in ended.stderr


def test_a_table_that_can_not_be_made_leaves_nothing(folder: Path) -> None:
    assert "a table is one of" in run(folder, "export", "--out", "out.txt").stderr
    (folder / "other").write_text("hello\n")
    ended = run(folder, "export", "--out", "out.csv", files=("other",))
    assert (ended.exit_code, "holds no record" in str(ended.exception)) == (1, True)
    assert not list(folder.glob("*out*"))
    assert not list(folder.glob(".out*"))


def test_the_last_minutes_are_found_by_their_length(tmp_path: Path) -> None:
    now = time.time_ns()
    old, new = replace(decision(1), started_ns=now - 3 * 3600 * 10**9), replace(decision(2), started_ns=now)
    write(tmp_path / "audit.jsonl", old, new)
    ended = run(tmp_path, "find", "--since", "2h", "--format", "json", files=("audit.jsonl",))
    assert [json.loads(line)["decision_id"] for line in ended.stdout.splitlines()] == ["d-2"]
