"""The chain on the writing side: every line has its place, through full disks, torn lines and many writers."""

import json
import os
import subprocess
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from audit.auditing import all_lines, decision
from audit.small_disks import write_through_a_full_disk
from audit_journal import DEFAULTS, AuditJournal
from patience import comes

from extauthz.record import audit_file
from extauthz.record.chain import Head, beginning, hash_of, is_signed, link_of, public_key, signed_of
from extauthz.record.life import LifeRecord
from extauthz.stepup.keys import SECRET_BYTES, KeyRing, generate_key, parse_keys

START = 1_790_000_000
PAGE = Path(__file__).parents[2] / "docs" / "records.md"


@pytest.fixture
def keys() -> KeyRing:
    return parse_keys(generate_key(os.urandom(SECRET_BYTES), created=START))


def heads(path: Path) -> dict[str, list[Head]]:
    """The heads after each line of each writer, from the beginning; whatever does not fit together fails."""
    found: dict[str, list[Head]] = defaultdict(list)
    for line in path.read_bytes().splitlines():
        link = link_of(line)
        assert link is not None, line
        known = found[link.writer]
        before = known[-1] if known else beginning(link.writer)
        assert link.seq == before.seq + 1
        assert link.hash == hash_of(before.hash, link.body)
        known.append(Head(link.writer, link.seq, link.hash))
    return found


def test_every_line_has_its_place_between_a_beginning_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        audit = AuditJournal(path)
        for number in range(200):
            audit.record(decision(number))
        audit.record(LifeRecord(kind="keys.changed", at_ns=START * 10**9))
        audit.commit(decision(200)).result(5)
        audit.close()
    chains = heads(path)
    assert [len(chain) for chain in chains.values()] == [204, 204]
    events = [line["event"] for line in all_lines(path) if "event" in line]
    assert events == ["audit.started", "keys.changed", "audit.stopped"] * 2


def test_who_never_writes_leaves_nothing(tmp_path: Path) -> None:
    AuditJournal(tmp_path / "audit.jsonl").close()
    assert (tmp_path / "audit.jsonl").read_bytes() == b""


def test_checkpoints_come_by_number_and_are_signed_by_the_key_that_makes(
    tmp_path: Path, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_file, "CHECKPOINT_LINES", 100)
    path = tmp_path / "audit.jsonl"
    audit = AuditJournal(path, keys=keys)
    for number in range(350):
        audit.record(decision(number))
    audit.close()
    (chain,) = heads(path).values()
    events = [line for line in all_lines(path) if "event" in line]
    checks = ["audit.checkpoint"] * (len(events) - 2)
    assert [line["event"] for line in events] == ["audit.started", *checks, "audit.stopped"]
    assert all(later["seq"] - earlier["seq"] < 200 for earlier, later in pairwise(events))
    assert len(events) >= 4
    raw = path.read_bytes().splitlines()
    for line in events:
        before = chain[line["seq"] - 2] if line["seq"] > 1 else beginning(line["writer"])
        link = link_of(raw[line["seq"] - 1])
        assert link is not None
        one = signed_of(link)
        assert one is not None
        assert line["details"] == {**json.loads(one.said + b"}}")["details"], "signature": one.signature}
        assert line["details"]["key"] == keys.newest.kid
        assert is_signed(public_key(keys.newest.audit), before, one)


def test_what_was_written_is_signed_after_a_while_even_if_nothing_more_comes(
    tmp_path: Path, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_file, "CHECKPOINT_EVERY", 0.0)
    path = tmp_path / "audit.jsonl"
    audit = AuditJournal(path, keys=keys)
    audit.record(decision(1))
    assert comes(lambda: b"audit.checkpoint" in path.read_bytes())
    size = path.stat().st_size
    audit.file.keep(())
    assert path.stat().st_size == size, "nothing new, nothing to sign"
    audit.close()


def test_a_full_disk_breaks_no_chain(tmp_path: Path) -> None:
    """What could not be written, and a decision that was refused for it, have no place."""
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = AuditJournal(path, DEFAULTS)
    audit.record(decision(1))
    with pytest.raises(OSError, match="No space left"):
        audit.commit(decision(2)).result(5)
    path.unlink()
    audit.record(decision(3))
    audit.close()
    (chain,) = heads(path).values()
    assert chain[-1].seq == 4
    assert [line.get("decision_id") for line in all_lines(path)] == [None, "d-1", "d-3", None]


def test_a_line_that_the_disk_cut_keeps_no_place(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_through_a_full_disk(path)
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if link_of(line.rstrip(b"\n")) is not None]
    (tmp_path / "whole.jsonl").write_bytes(b"".join(whole))
    (chain,) = heads(tmp_path / "whole.jsonl").values()
    assert chain[-1].seq == 22


def test_two_writers_have_a_chain_each_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first, second = AuditJournal(path), AuditJournal(path)
    for number in range(50):
        first.record(decision(number))
        second.record(decision(number))
    first.close()
    second.close()
    assert [len(chain) for chain in heads(path).values()] == [52, 52]
    assert {line["writer"] for line in map(json.loads, path.read_text().splitlines())} == set(heads(path))


def test_a_shell_can_check_a_line_as_the_documentation_says(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditJournal(path)
    audit.record(decision(1, path="/a'b$c", headers={"user-agent": '%s "\\', "accept": "`d`"}))
    audit.close()
    (command,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("printf '%s%s'")]
    before, line = path.read_text().splitlines()[:2]
    told = {"HASH_BEFORE": json.loads(before)["hash"], "LINE": line, "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", command], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == json.loads(line)["hash"]
