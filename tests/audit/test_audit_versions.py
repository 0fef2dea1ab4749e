"""Versions side by side: lines of a newer one and of an older one are records, and what is no record is told of.

The lines of the newer version are what the rules of `audit_line` and `life_lines` let it write: fields, kinds of events
and kinds of details that this one does not know.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from audit.tampering import KEYS, SEED, TIME, Hand, known, verified
from commanding import Ended, command

from extauthz.history.index import Index
from extauthz.history.indexing import Indexer
from extauthz.history.reading import parse, time_in
from extauthz.record.audit_line import DecisionLine
from extauthz.record.life_lines import LifeLine

DECISION: dict[str, Any] = {
    "v": 1,
    "time": TIME,
    "decision_id": "d-1",
    "decision": "deny",
    "reason": "not-allowed",
    "status": 403,
    "revision": "sha256:0",
    "duration_us": 25.5,
}
EVENT: dict[str, Any] = {"v": 1, "event": "factor.proven", "time": TIME, "by": "requester"}
NEWER: list[dict[str, Any]] = [
    {**DECISION, "verdict": {"by": ["model"]}, "waits": [{"name": "oracle", "after_us": 1, "duration_us": 2}]},
    {**EVENT, "event": "factor.attested-2", "decision_id": "d-1", "details": {"chain": {"of": [1, None]}}, "aaguid": 7},
    {**EVENT, "event": "wallet.presented", "subject": {"sub": "alice", "iss": "i", "did": "did:example:a"}},
]
OLDER: list[dict[str, Any]] = [DECISION, EVENT]
"""What stood in a line from the first."""


def plain(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode()


@pytest.fixture
def writer() -> Hand:
    return Hand("aaaaaaaaaaaaaaaa", seed=SEED)


@pytest.fixture
def file(tmp_path: Path, writer: Hand) -> Path:
    """The audit of a newer version."""
    lines = [*writer.sign("started"), *writer.write(*(plain(line)[:-1] for line in NEWER))]
    lines += [*writer.sign("mirrored", to="elsewhere"), *writer.sign("stopped")]
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def audit(file: Path, name: str, *options: str) -> Ended:
    ended = command("audit", name, *options, file.name, folder=file.parent)
    assert (ended.returncode, "no record" in ended.stderr.replace("no record is like that", "")) == (0, False), ended
    return ended


def written(file: Path) -> list[str]:
    """The lines that are not about the audit itself."""
    return [line for line in file.read_text().splitlines() if '"event":"audit.' not in line]


@pytest.mark.parametrize("name", ["tail", "find"])
def test_lines_of_a_newer_version_are_shown_and_passed_on_as_they_are(file: Path, name: str) -> None:
    order = ["--oldest-first"] if name == "find" else []
    assert audit(file, name, *order, "--format", "json").stdout.splitlines() == written(file)
    shown = audit(file, name, *order).stdout.splitlines()
    assert [row.split()[1:4] for row in shown] == [
        ["deny", "-", "not-allowed"],
        ["·", "factor.attested-2", "-"],
        ["·", "wallet.presented", "-"],
    ]


def test_what_this_version_knows_of_them_is_looked_for(file: Path) -> None:
    def found(*options: str) -> list[str]:
        lines = audit(file, "find", *options, "--oldest-first", "--format", "json").stdout.splitlines()
        return [json.loads(line).get("event", "decision") for line in lines]

    assert found("--id", "d-1") == ["decision", "factor.attested-2"]
    assert found("--event", "factor") == ["factor.attested-2"]
    assert found("--subject", "alice") == ["wallet.presented"]
    assert found("--event", "audit") == ["audit.started", "audit.mirrored", "audit.stopped"]
    assert found("--since", "2026-11-22T04:05") == ["decision", "factor.attested-2", "wallet.presented"]
    assert audit(file, "find", "--since", "2026-11-22T04:06").stdout == ""


def test_a_table_has_them_whole(file: Path) -> None:
    audit(file, "export", "--out", "table.csv")
    with (file.parent / "table.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["event"] for row in rows] == ["decision", "factor.attested-2", "wallet.presented"]
    assert [row["record"] for row in rows] == written(file)


def test_their_chain_is_proven(file: Path, writer: Hand) -> None:
    found = verified(file, keys=KEYS, heads=[known(writer.head)])
    assert (found.count, found.remarks) == (0, ())


def test_the_index_has_them(file: Path) -> None:
    index = file.with_suffix(".sqlite")
    with Indexer(file, index) as indexer:
        while indexer.step():
            pass
    found = Index(file, index)
    line = found.decision("d-1")
    assert line is not None
    assert [event.event for event in found.events(line)] == ["factor.attested-2"]


@pytest.mark.parametrize("line", [*OLDER, *NEWER], ids=lambda line: str(line.get("event", "decision")))
def test_a_line_with_less_or_more_than_this_version_writes_is_a_record(line: dict[str, Any]) -> None:
    read = parse(plain(line))
    assert isinstance(read, LifeLine if "event" in line else DecisionLine)
    assert time_in(plain(line)) == TIME.encode()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "JSON is malformed: invalid character (byte 0)"),
        (plain(EVENT)[:-1], "input data was truncated"),
        (plain(EVENT)[:-9] + b'\xff"}', "invalid start byte"),
        (plain({**EVENT, "v": 2}), "invalid enum value 2"),
        (plain({**DECISION, "v": 2}), "invalid enum value 2"),
        (plain({**EVENT, "event": 5}), "expected `str`, got `int`"),
        (plain({**EVENT, "time": "just now"}), "`time` is no moment in UTC"),
        (plain({**EVENT, "time": "2026-02-30T00:00:00Z"}), "day is out of range for month"),
        (plain({**DECISION, "time": "2026-11-22T04:05:00+01:00"}), "`time` is no moment in UTC"),
        (plain({**EVENT, "time": "9999-01-01T00:00:00Z"}), "`time` is too far away"),
        *((plain({name: EVENT[name] for name in EVENT if name != gone}), "missing") for gone in ("time", "by")),
        *((plain({name: DECISION[name] for name in DECISION if name != gone}), "missing") for gone in DECISION),
    ],
    ids=str,
)
def test_what_has_not_the_frame_of_a_record_is_told_of(tmp_path: Path, line: bytes, reason: str) -> None:
    found = parse(line)
    assert isinstance(found, str)
    assert reason in found
    file = tmp_path / "audit.jsonl"
    file.write_bytes(plain(DECISION) + b"\n" + line + b"\n" + plain(EVENT) + b"\n")
    ended = command("audit", "find", "--format", "json", "audit.jsonl", folder=tmp_path)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 2)
    assert "1 line is no record" in ended.stderr
