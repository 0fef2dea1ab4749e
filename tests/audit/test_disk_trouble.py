"""Disks that take a part of what is written, or nothing, at any moment: each line is out once, in its place."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from audit.auditing import decision
from audit_journal import DEFAULTS
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record import audit_file, line_file
from extauthz.record.audit_file import AuditFile
from extauthz.record.chain import Head, beginning, hash_of, link_of
from extauthz.record.line_file import LineFile

LINE = decision(0)
Outcome = int | float | str
OUTCOMES: st.SearchStrategy[list[Outcome]] = st.lists(
    st.integers(0, 3) | st.floats(0, 1) | st.just("full"), max_size=12
)
"""What becomes of each write: all but the last so many bytes are out, a part, or nothing."""


class Disk:
    """Writes as it is told, and then all."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes: Iterator[Outcome] = iter(outcomes)
        self._write = os.write

    def write(self, descriptor: int, data: memoryview) -> int:
        outcome = next(self._outcomes, 0)
        if outcome == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = len(data) - outcome if isinstance(outcome, int) else int(len(data) * float(outcome))
        return self._write(descriptor, data[: max(1, part)])


def in_chain(path: Path) -> list[str]:
    """The ids of the decisions in the file, each in its place in the one chain."""
    before: Head | None = None
    found: list[str] = []
    for line in path.read_bytes().split(b"\n"):
        link = link_of(line)
        if link is None:
            continue  # what a full disk has left of one
        before = before or beginning(link.writer)
        assert (link.writer, link.seq) == (before.writer, before.seq + 1)
        assert link.hash == hash_of(before.hash, link.body)
        before = Head(link.writer, link.seq, link.hash)
        if b'"decision_id":"' in line:
            found.append(line.split(b'"decision_id":"')[1].split(b'"')[0].decode())
    return found


@given(st.lists(st.integers(0, 150), min_size=1, max_size=6), OUTCOMES, st.sampled_from([100, 1_000]))
def test_each_line_is_out_once_and_in_order_and_what_has_no_room_is_counted(
    batches: list[int], outcomes: list[Outcome], room: int
) -> None:
    with TemporaryDirectory() as folder, patch.object(audit_file, "PATIENCE", 0.0):
        path, number = Path(folder) / "audit.jsonl", 0
        audit = AuditFile(path, DEFAULTS, room=room)
        with patch.object(os, "write", Disk(outcomes).write):
            for size in batches:
                audit.keep([decision(number + place) for place in range(size)])
                number += size
                counts = audit.count()
                assert (counts.waiting <= room, counts.waiting + counts.written + counts.lost) == (True, number)
        audit.close()
        told, counts = in_chain(path), audit.count()
        order = [int(one.removeprefix("d-")) for one in told]
        assert order == sorted(set(order))
        assert (len(told), counts.written, counts.waiting, counts.lost) == (len(told), len(told), 0, number - len(told))
        assert room == 100 or counts.lost == 0
        assert "full" in outcomes or counts.lost == 0, "nothing waits for a disk that takes it"


def test_what_a_disk_has_left_of_a_line_when_it_failed_is_no_line(tmp_path: Path) -> None:
    """Of two lines the first and half of the second are out: it is written again, with the same number."""
    audit = AuditFile(tmp_path / "audit.jsonl", DEFAULTS)
    audit.keep([decision(0)])
    with patch.object(os, "write", Disk([0.75, "full"]).write):
        audit.keep([decision(1), decision(2)])
    assert (audit.count().written, audit.count().waiting) == (2, 1)
    audit.close()
    assert in_chain(tmp_path / "audit.jsonl") == ["d-0", "d-1", "d-2"]


def test_a_file_that_could_not_be_looked_at_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one was moved away, and what is to take its place can't be read for a moment."""
    path = tmp_path / "audit.jsonl"
    file = LineFile(path)
    path.rename(tmp_path / "audit.jsonl.1")
    with monkeypatch.context() as broken:
        broken.setattr(line_file, "_ends_torn", lambda _, __: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        with pytest.raises(OSError, match="broken"):
            file.follow_name()
    assert file.follow_name()
    file.append([b"a", b"b\n"])
    file.close()
    assert path.read_bytes() == b"ab\n"
