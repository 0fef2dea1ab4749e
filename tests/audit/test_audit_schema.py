"""The published schema is that of the types, takes every line that is written, and not what nobody writes."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from audit.audit_form import PUBLISHED, mistakes
from audit.auditing import all_lines, decision
from audit.making_lines import KEEPS, records
from audit_journal import DEFAULTS
from briefs import brief_of
from commanding import command
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from record.making_records import decision_records, life_records

from extauthz.history.audit_files import written_by
from extauthz.record.audit_file import AuditFile
from extauthz.record.audit_schema import json_schema
from extauthz.record.keeping import Record
from extauthz.record.masking import Keep
from extauthz.record.rotation import Rotation
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys

COPY = Path(__file__).parents[2] / "docs" / "audit-schema.json"
DECISION: dict[str, Any] = {
    "v": 1,
    "time": "2026-11-22T04:05:00.000000000Z",
    "decision_id": "d-1",
    "decision": "deny",
    "reason": "not-allowed",
    "status": 403,
    "revision": "sha256:0",
    "duration_us": 25.5,
    "rules": [{"rule": "p/r", "effect": "deny", "mode": "enforce", "result": "match"}],
    "writer": "aaaaaaaaaaaaaaaa",
    "seq": 1,
    "hash": "0" * 64,
}
EVENT: dict[str, Any] = {
    "v": 1,
    "event": "approval.voted",
    "time": "2026-11-22T04:05:00.000000000Z",
    "by": "approver:anna",
    "subject": {"sub": "alice"},
    "details": {"stance": "approve", "uses": 1, "all": True, "names": ["a"]},
    "writer": "aaaaaaaaaaaaaaaa",
    "seq": 2,
    "hash": "0" * 64,
}


def test_the_published_copy_is_that_of_the_types() -> None:
    assert json.loads(COPY.read_text(encoding="utf-8")) == json_schema(), "it is stale: run `make schema`"


def test_a_command_prints_it(tmp_path: Path) -> None:
    assert command("audit", "schema", folder=tmp_path).stdout == COPY.read_text(encoding="utf-8")


def test_it_is_a_schema_whose_every_part_says_what_it_is() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert all(one["description"] for one in json_schema()["$defs"].values())


@settings(max_examples=50)
@given(st.lists(decision_records | records | records.map(brief_of) | life_records, max_size=4), st.sampled_from(KEEPS))
def test_every_line_that_is_written_is_of_its_form(kept: list[Record], keep: Keep) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        file = AuditFile(path, keep)
        file.keep(kept)
        file.close()
        lines = all_lines(path)
    assert len(lines) == (len(kept) + 2 if kept else 0)
    assert [mistake for line in lines for mistake in mistakes(line)] == []


def test_what_the_audit_says_of_itself_is_of_its_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extauthz.record.audit_file.CHECKPOINT_LINES", 5)
    path = tmp_path / "audit.jsonl"
    keys = parse_keys(generate_key(os.urandom(SECRET_BYTES), created=1_790_000_000))
    file = AuditFile(path, DEFAULTS, keys=keys, rotation=Rotation(size=3_000, retain_files=1))
    for number in range(60):
        file.keep([decision(number)])
    file.close()
    (path.parent / "first.jsonl").touch()
    lines = [line for one in written_by(path) for line in all_lines(one)]
    kinds = {line.get("event") for line in lines}
    assert kinds == {None, "audit.checkpoint", "audit.rotated", "audit.removed", "audit.stopped"}
    assert [mistake for line in lines for mistake in mistakes(line)] == []


@pytest.mark.parametrize("line", [DECISION, EVENT], ids=["decision", "event"])
def test_what_a_newer_version_adds_to_a_line_is_no_mistake(line: dict[str, Any]) -> None:
    assert mistakes(line) == []
    newer = {**line, "also": {"new": None}}
    assert PUBLISHED.is_valid(newer)
    assert mistakes(newer) != []


@pytest.mark.parametrize(
    ("line", "change"),
    [
        *((line, {name: None}) for line in (DECISION, EVENT) for name in ("v", "time", "writer", "seq", "hash")),
        *((DECISION, {name: None}) for name in ("decision_id", "decision", "reason", "status", "revision")),
        *((EVENT, {name: None}) for name in ("event", "by")),
        (DECISION, {"v": 2}),
        (DECISION, {"event": "approval.voted"}),
        (DECISION, {"decision": "maybe"}),
        (DECISION, {"status": "403"}),
        (DECISION, {"time": "2026-11-22 04:05:00"}),
        (DECISION, {"rules": ["p/r"]}),
        (DECISION, {"rules": [{**DECISION["rules"][0], "result": "perhaps"}]}),
        (DECISION, {"request": {"method": "GET", "host": "a", "path": "/", "headers": {"cookie": "s3cr3t"}}}),
        (DECISION, {"request": {"method": "GET", "path": "/"}}),
        (DECISION, {"waits": [{"name": "oracle", "after_us": 1, "duration_us": 2}]}),
        (DECISION, {"hash": "0" * 43}),
        (EVENT, {"event": "approval.ignored"}),
        (EVENT, {"event": "decision"}),
        (EVENT, {"seq": 0}),
        (EVENT, {"subject": "alice"}),
        (EVENT, {"details": {"deep": {"er": 1}}}),
        (EVENT, {"traces": "0af7651916cd43dd8448eb211c80319c"}),
    ],
)
def test_what_nobody_writes_is_not_of_its_form(line: dict[str, Any], change: dict[str, Any]) -> None:
    invented = {name: value for name, value in {**line, **change}.items() if value is not None}
    assert not PUBLISHED.is_valid(invented)
