"""What the retention removes is accounted for: no chain looks cut where nobody has cut it, whatever else is missed."""

import os
import pkgutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from audit.auditing import all_lines, decision
from audit.tampering import known, places, verified
from audit_journal import DEFAULTS

from extauthz.history.audit_files import written_by
from extauthz.history.chains import KnownHead
from extauthz.record import rotation
from extauthz.record.audit_file import AuditFile
from extauthz.record.audit_keys import by_id, public_keys
from extauthz.record.chain import Head, beginning
from extauthz.record.rotation import Rotation, rotated
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys

RING = parse_keys(generate_key(os.urandom(SECRET_BYTES), created=1_790_000_000))
KEYS = dict(by_id(public_keys(RING)))
Open = Callable[[], AuditFile]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def opened(path: Path) -> Open:
    """Writers of small files, of which two are kept beside the one that is written."""
    return lambda: AuditFile(path, DEFAULTS, keys=RING, rotation=Rotation(size=3_000, retain_files=2))


def write(file: AuditFile, count: int = 1) -> None:
    for number in range(count):
        file.keep([decision(number)])


def heads_of(*files: AuditFile) -> list[KnownHead]:
    return [known(file.head, at=time.time()) for file in files]


def told_in(path: Path) -> list[dict[str, list[str]]]:
    """What is told of files that were removed."""
    events = [line for file in written_by(path) for line in all_lines(file)]
    return [line["details"] for line in events if line.get("event") == "audit.removed"]


def test_a_writer_that_was_idle_while_many_files_were_removed_goes_on_where_it_was(path: Path, opened: Open) -> None:
    idle, busy = opened(), opened()
    write(idle)
    for _ in range(3):
        write(busy, 40)
        write(idle)
    idle.close()
    busy.close()
    found = verified(*written_by(path), keys=KEYS, heads=heads_of(idle, busy))
    assert (found.mistakes, len(rotated(path))) == ((), 2)
    gone = next(line for one in written_by(path) for line in all_lines(one) if line["writer"] == idle.head.writer)
    assert gone["seq"] > 1, "its first lines are not there any more"


def test_whoever_ended_before_the_oldest_file_has_not_vanished(path: Path, opened: Open) -> None:
    heads = []
    for number in range(12):
        file = opened()
        write(file, 7)
        if number % 3:  # the others are killed
            file.close()
        heads += heads_of(file)
    present = {line["writer"] for one in written_by(path) for line in all_lines(one)}
    assert len(present) < 10
    found = verified(*written_by(path), keys=KEYS, heads=heads)
    assert found.mistakes == ()


def test_whoever_wrote_after_the_newest_file_that_was_removed_has_vanished(path: Path, opened: Open) -> None:
    file = opened()
    write(file, 40)
    file.close()
    other = Head("c" * 16, 5, beginning("c" * 16).hash)
    newest = max(moment for details in told_in(path) if (moment := rotation.rotated_at(str(details["file"]))))
    assert verified(*written_by(path), keys=KEYS, heads=[*heads_of(file), known(other, at=newest)]).count == 0
    found = verified(*written_by(path), keys=KEYS, heads=[*heads_of(file), known(other, at=newest + 2)])
    assert places(found) == [("", 0, "vanished")]


def test_ends_that_something_may_follow_are_told_of_as_long_as_files_are_removed(path: Path, opened: Open) -> None:
    ended, killed, busy = opened(), opened(), opened()
    write(ended, 2)
    ended.close()
    write(killed, 2)
    write(busy, 150)
    told = [head.partition(":")[0] for details in told_in(path) for head in details["heads"]]
    assert (told.count(killed.head.writer), told.count(ended.head.writer)) == (1, 0)
    assert told.count(busy.head.writer) == len(told_in(path)) == 3


def test_so_many_ends_are_told_of_at_most(path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "MOST_CARRIED", 3)
    killed = []
    for _ in range(6):
        killed.append(opened())
        write(killed[-1])
    write(killed[-1], 60)
    writers = {head.partition(":")[0] for details in told_in(path) for head in details["heads"]}
    assert writers == {file.head.writer for file in killed[-4:]}


@pytest.mark.parametrize("forged", ["changed", "appended", "first"])
def test_a_file_that_was_changed_is_kept_and_its_ends_are_not_signed(path: Path, opened: Open, forged: str) -> None:
    busy = opened()
    write(busy, 20)
    oldest = rotated(path)[0][1]
    whole = oldest.read_bytes()
    if forged == "changed":
        oldest.write_bytes(whole.replace(b'"d-3"', b'"d-0"', 1))
    elif forged == "appended":
        seq = max(line["seq"] for line in all_lines(oldest)) + 1
        oldest.write_bytes(whole + chain_end(busy.head.writer, seq))
    else:
        oldest.write_bytes(whole + chain_end("c" * 16, 1))
    write(busy, 60)
    busy.close()
    assert oldest.exists()
    told = told_in(path)
    assert told, "others are removed"
    assert oldest.name not in [str(details["file"]) for details in told]
    assert verified(*written_by(path), keys=KEYS).mistakes, "whoever verifies sees it"


def chain_end(writer: str, seq: int) -> bytes:
    """A line with the end of one of ours, and a hash of somebody's choice."""
    return f'{{"v":1,"writer":"{writer}","seq":{seq},"hash":"{"0" * 64}"}}\n'.encode()


class Killed(BaseException):
    """What nothing catches, as nothing runs behind a `kill -9`."""


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "step",
    [
        "extauthz.record.audit_file.move_away",
        "extauthz.record.line_file.LineFile.sync",
        "extauthz.record.audit_file.is_sealed",
        "extauthz.record.audit_file.ends_in",
        "pathlib.Path.unlink",
    ],
)
def test_whoever_is_killed_at_a_step_of_a_rotation_leaves_chains_that_are_right(
    path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
) -> None:
    owner, _, name = step.rpartition(".")
    real = pkgutil.resolve_name(step if owner != "pathlib.Path" else "pathlib:Path.unlink")

    def killed(*args: object, **named: object) -> None:
        if late:
            real(*args, **named)
        raise Killed(name)

    before, file, after = opened(), opened(), opened()
    write(before, 15)
    with monkeypatch.context() as then:
        then.setattr(step, killed)
        with pytest.raises(Killed):
            write(file, 60)
    write(after, 60)
    after.close()
    before.close()
    found = verified(*written_by(path), keys=KEYS, heads=heads_of(before, file, after))
    assert found.mistakes == ()


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("audit-20260101T000001Z-12.jsonl", 1_767_225_601.0),
        ("audit-20260101T000001Z-1", 1_767_225_601.0),
        ("audit-20261301T000001Z-1.jsonl", None),
        ("audit-1.jsonl", None),
        ("None", None),
    ],
)
def test_a_name_tells_when_its_file_was_rotated(name: str, moment: float | None) -> None:
    assert rotation.rotated_at(name) == moment
