"""The audit file: whole lines, in order, by many writers, through rotation, torn ends and full disks."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from audit.auditing import decision, ids, lines
from audit.hanging_disks import HangingDisk
from audit.small_disks import write_through_a_full_disk
from audit_journal import DEFAULTS, AuditJournal
from msgspec.structs import replace
from patience import comes

from extauthz.errors import ConfigurationError
from extauthz.record.audit_file import ROOM, AuditFile
from extauthz.values.identity import User

Open = Callable[..., AuditJournal]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens audit files, and closes those that a test leaves open."""
    files: list[AuditJournal] = []

    def start(path: Path, *, room: int = ROOM) -> AuditJournal:
        files.append(AuditJournal(path, room=room))
        return files[-1]

    yield start
    for file in files:
        file.close()


def test_what_is_recorded_is_in_the_file_soon_and_in_order(tmp_path: Path, opened: Open) -> None:
    audit = opened(tmp_path / "audit.jsonl")
    for number in range(500):
        audit.record(decision(number))
    assert comes(lambda: audit.count().written == 500)
    assert ids(tmp_path / "audit.jsonl") == [f"d-{number}" for number in range(500)]


def test_closing_writes_what_waits(tmp_path: Path, opened: Open) -> None:
    audit = opened(tmp_path / "audit.jsonl")
    for number in range(1_000):
        audit.record(decision(number))
    audit.close()
    assert len(ids(tmp_path / "audit.jsonl")) == 1_000
    assert audit.count().lost == 0


def test_the_file_is_its_owners_alone_and_is_appended_to(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    for number in (1, 2):
        audit = opened(path)
        audit.record(decision(number))
        audit.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert ids(path) == ["d-1", "d-2"]


def test_the_name_is_followed_when_a_rotation_moves_the_file(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    audit = opened(path)
    audit.record(decision(1))
    assert comes(lambda: audit.count().written == 1)
    path.rename(tmp_path / "audit.jsonl.1")
    audit.record(decision(2))
    assert comes(lambda: audit.count().written == 2)
    path.unlink()
    audit.record(decision(3))
    assert comes(lambda: audit.count().written == 3)
    assert (ids(tmp_path / "audit.jsonl.1"), ids(path)) == (["d-1"], ["d-3"])


def test_a_torn_last_line_spoils_no_other(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"v":1,"decision_id":"to')
    audit = opened(path)
    audit.record(decision(1))
    audit.close()
    torn, started, whole, stopped = path.read_text().splitlines()
    assert torn == '{"v":1,"decision_id":"to'
    assert json.loads(whole)["decision_id"] == "d-1"
    assert [json.loads(line)["event"] for line in (started, stopped)] == ["audit.started", "audit.stopped"]


def test_a_full_disk_loses_nothing_that_the_queue_can_hold(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = opened(path, room=10)
    for number in range(12):
        audit.record(decision(number))
    assert comes(lambda: audit.count().lost == 2)
    assert audit.count().written == 0
    path.unlink()  # room again
    assert comes(lambda: audit.count().written == 10)
    assert ids(path) == [f"d-{number}" for number in range(10)]


def test_what_waits_for_room_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    """Whoever may call sends a path of 60 KB with each of 50,000 requests while the disk is full."""
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = AuditFile(path, DEFAULTS, room_bytes=100_000)
    audit.keep([decision(number, "/" + "a" * 60_000) for number in range(20)])
    assert (audit.count().waiting, audit.count().lost) == (2, 18)
    path.unlink()
    audit.close()
    assert ids(path) == ["d-0", "d-1"]


def test_half_a_line_of_another_process_is_ended_before_ours(tmp_path: Path) -> None:
    """It was cut by a disk that was full, or its writer by a kill, while we had nothing to write."""
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(path, DEFAULTS)
    audit.keep([decision(1)])
    with path.open("ab") as other:
        other.write(b'{"v":1,"decision_id":"to')
    audit.keep([decision(2)])
    audit.close()
    lines = path.read_bytes().splitlines()
    assert lines.pop(2) == b'{"v":1,"decision_id":"to'
    assert [json.loads(line).get("decision_id") for line in lines] == [None, "d-1", "d-2", None]


def test_losses_are_told(tmp_path: Path, opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = opened(path, room=1)
    for number in range(3):
        audit.record(decision(number))
    audit.close()
    said = capsys.readouterr().out
    assert "audit-write-failed" in said
    assert "no space left on device" in said
    assert "audit-records-lost" in said
    assert audit.count().lost == 3


def test_a_line_that_the_disk_cut_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    counted = write_through_a_full_disk(path)
    whole, torn = [], []
    for line in path.read_text().splitlines():
        try:
            whole.append(json.loads(line).get("decision_id"))
        except ValueError:
            torn.append(line)
    assert len(torn) == 1
    assert whole == [None, *(f"d-{number}" for number in range(20)), None], "between the beginning and the end"
    assert counted == "20 0"


def test_lines_of_two_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    child = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from audit.auditing import decision
from audit_journal import AuditJournal
audit = AuditJournal(Path(sys.argv[1]))
for number in range(2000):
    audit.record(decision(f"{sys.argv[2]}-{number}"))
audit.close()
"""
    here = str(Path(__file__).parents[1])
    children = [subprocess.Popen([sys.executable, "-c", child, str(path), name, here]) for name in ("a", "b")]
    assert [one.wait(60) for one in children] == [0, 0]
    written = ids(path)
    for name in ("a", "b"):
        assert [one for one in written if one.startswith(f"d-{name}-")] == [f"d-{name}-{n}" for n in range(2000)]


def test_what_is_committed_is_in_the_file_before_the_future_ends(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    audit = opened(path)
    for number in range(20):
        audit.commit(decision(number)).result(5)
        assert ids(path)[-1] == f"d-{number}"


def test_commits_of_many_threads_all_end(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    audit = opened(path)
    threads = [threading.Thread(target=lambda n=n: audit.commit(decision(n)).result(5)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(path)) == sorted(f"d-{n}" for n in range(64))


def test_who_waits_for_a_disk_that_hangs_is_told_at_once_when_too_many_do(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path / "audit.jsonl")
    audit = AuditJournal(tmp_path / "audit.jsonl", required=10)
    for number in range(400):
        audit.record(decision(number))
    assert disk.comes_to_hang()
    waiting = [audit.commit(decision(number)) for number in range(10)]
    assert not any(one.done() for one in waiting)
    with pytest.raises(OSError, match="too many records wait"):
        audit.commit(decision(10)).result(0)
    with disk.working():
        assert comes(lambda: all(one.done() for one in waiting))
        audit.close()


def test_what_waits_for_a_disk_that_hangs_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    """Whoever may call sends a megabyte with each of 50,000 requests: a record holds the whole of them."""
    disk = HangingDisk(tmp_path / "audit.jsonl")
    audit = AuditJournal(tmp_path / "audit.jsonl", queue_bytes=4_000, required_bytes=3_000)
    for number in range(400):  # the disk takes some of them, and the thread has one batch in its hands
        audit.record(decision(number))
    assert disk.comes_to_hang()
    before = audit.count().lost
    assert before == 0, "what is small is bounded by its number alone"
    large = replace(decision(400), size=1_000)
    for _ in range(6):
        audit.record(large)
    assert audit.count().lost == 2
    waiting = [audit.commit(large) for _ in range(4)]
    with pytest.raises(OSError, match="too many records wait"):
        waiting.pop().result(0)
    with disk.working():
        assert comes(lambda: all(one.done() for one in waiting))
        assert comes(lambda: audit.count().written == 407)
        audit.record(large)  # there is room again
        assert comes(lambda: audit.count().written == 408)
        audit.close()


def test_a_commit_fails_at_once_where_the_disk_is_full_even_behind_others(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = opened(path)
    for number in range(1_000):
        audit.record(decision(number))
    with pytest.raises(OSError, match="No space left"):
        audit.commit(decision(1_000)).result(0.5)


def test_a_commit_that_is_cancelled_in_time_leaves_no_record(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "audit.jsonl"
    audit = opened(path)
    held: list[Future[None]] = []
    while not any(future.cancelled() for future in held):
        future = audit.commit(decision(len(held)))
        future.cancel()
        held.append(future)
    audit.close()
    kept = [f"d-{n}" for n, future in enumerate(held) if not future.cancelled()]
    assert ids(path) == kept


def test_after_closing_nothing_is_promised(tmp_path: Path, opened: Open) -> None:
    audit = opened(tmp_path / "audit.jsonl")
    audit.close()
    audit.record(decision(1))
    assert audit.count().lost == 1
    with pytest.raises(OSError, match="closed"):
        audit.commit(decision(2)).result(1)


@pytest.mark.parametrize("where", ["missing/audit.jsonl", "."])
def test_a_file_that_can_not_be_opened_is_told_at_once(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^audit\.path: can't write `"):
        AuditJournal(tmp_path / where)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_told_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="permission denied"):
        AuditJournal(tmp_path / "audit.jsonl")


def test_a_record_that_can_not_be_told_leaves_its_outcome(tmp_path: Path, opened: Open) -> None:
    deep: dict[str, object] = {"sub": "a"}
    for _ in range(5_000):
        deep = {"sub": "a", "act": deep}
    audit = opened(tmp_path / "audit.jsonl")
    audit.record(decision(1, user=User(sub="u", iss="i", actor=deep)))
    audit.record(decision(2, user=User(sub="lone \ud800", iss="i")))
    audit.close()
    first, second = lines(tmp_path / "audit.jsonl")
    assert (first["decision"], first["detail"], first.get("identity")) == ("allow", "record cut: RecursionError", None)
    assert second["identity"]["user"]["sub"] == "lone ?"
