"""Rotation and retention: by size and age, by one process of several, told in the chain, and in no record's way."""

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from audit.auditing import all_lines, decision, ids
from audit.test_audit_chain import heads
from audit_journal import DEFAULTS, AuditJournal
from patience import comes
from pydantic import ValidationError

from extauthz.history.audit_files import written_by
from extauthz.record import audit_file
from extauthz.record.audit_file import AuditFile
from extauthz.record.audit_keys import by_id, public_keys
from extauthz.record.chain import Head, beginning, hash_of, link_of
from extauthz.record.config import AuditSettings
from extauthz.record.journal import Journal
from extauthz.record.line_file import LineFile
from extauthz.record.rotation import Rotation, alone, move_away, rotated
from extauthz.record.sealing import is_sealed
from extauthz.stepup.keys import KeyRing, generate_key, parse_keys

DAY = 86_400.0
NOW = 1_790_000_000.0


def written(path: Path, numbers: Iterator[int] | range, rotation: Rotation) -> None:
    """Decisions one by one, so that each may rotate the file."""
    audit = AuditFile(path, DEFAULTS, rotation=rotation)
    for number in numbers:
        audit.keep([decision(number)])
    audit.close()


def whole(path: Path) -> Path:
    """All rotated files and the current one, in one."""
    joined = path.with_name("joined")
    joined.write_bytes(b"".join(one.read_bytes() for one in (*(file for _, file in rotated(path)), path)))
    return joined


def test_a_large_file_gives_way_to_a_new_one_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, range(20), Rotation(size=3_000))
    files = [file for _, file in rotated(path)]
    assert len(files) >= 2
    assert all(file.name.startswith("audit-2") and file.stat().st_mode & 0o777 == 0o600 for file in files)
    for file in files:
        last = all_lines(file)[-1]
        assert (last["event"], last["details"]["file"]) == ("audit.rotated", file.name)
    assert ids(whole(path)) == [f"d-{number}" for number in range(20)]
    assert len(heads(whole(path))) == 1


def test_a_file_is_rotated_by_the_age_of_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    born = datetime.fromtimestamp(time.time() - DAY - 60, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    path.write_text(f'{{"v":1,"time":"{born}.000000000Z"}}\n')
    file = LineFile(path)
    assert Rotation(every=DAY).is_due(file, time.time())
    assert not Rotation(every=DAY + 3600).is_due(file, time.time())
    path.write_text("")
    assert not Rotation(every=DAY).is_due(file, time.time()), "nothing is in it"
    path.write_text("something else\n")
    assert not Rotation(every=DAY).is_due(file, time.time())
    file.close()


def named(folder: Path, stamp: str, number: int = 1) -> Path:
    file = folder / f"audit-{stamp}-{number}.jsonl"
    file.write_text("")
    return file


def surplus(rotation: Rotation, path: Path, now: float) -> list[Path]:
    """What goes where each file is what it is called."""
    return [file for file, _ in rotation.surplus(path, now, lambda _: True).removed]


def test_what_is_old_or_too_much_goes_the_oldest_first_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    old, older, new = (named(tmp_path, stamp) for stamp in ("20260102T000000Z", "20260101T000000Z", "20260110T000000Z"))
    again = named(tmp_path, "20260110T000000Z", 10)
    for other in ("audit-old.jsonl", "audit-20260101T000000Z-1.jsonl.gz", "other-20260101T000000Z-1.jsonl"):
        (tmp_path / other).write_text("")
    now = datetime(2026, 1, 11, tzinfo=UTC).timestamp()
    assert surplus(Rotation(), path, now) == []
    assert surplus(Rotation(retain_for=5 * DAY), path, now) == [older, old]
    assert surplus(Rotation(retain_files=1), path, now) == [older, old, new]
    assert surplus(Rotation(retain_files=3, retain_for=100 * DAY), path, now) == [older]
    few = Rotation(retain_files=1).surplus(path, now, lambda file: file in (old, again))
    assert ([file for file, _ in few.removed], few.strange) == ([old], [older, new])
    assert [file for _, file in rotated(path)] == [older, old, new, again]


def test_names_that_only_look_like_ours_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    ours = named(tmp_path, "20260102T000000Z")
    for stamp in ("20269999T999999Z", "20260230T000000Z", "20260101T240000Z"):
        named(tmp_path, stamp)
    (tmp_path / "audit-20260101T000000Z-1.jsonl").mkdir()
    os.mkfifo(tmp_path / "audit-20260101T000000Z-2.jsonl")
    (tmp_path / "audit.jsonl.1²").write_text("")
    assert [file for _, file in rotated(path)] == [ours]
    assert written_by(path) == [ours]
    written(path, range(10), Rotation(size=1_000, retain_for=DAY))
    assert not ours.exists()
    assert sorted(ids(whole(path)))[-1:] == ["d-9"]


def test_what_is_named_after_a_year_that_is_to_come_is_as_old_as_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for stamp, time_ in (("99990101T000000Z", "2026-01-01"), ("99990102T000000Z", "2026-01-09")):
        line = f'{{"v":1,"time":"{time_}T00:00:00.000000000Z"}}\n'
        named(tmp_path, stamp).write_text("before\n" * 20_000 + line)
    bare = named(tmp_path, "99990103T000000Z")
    now = datetime(2026, 1, 11, tzinfo=UTC).timestamp()
    assert [file.name[6:14] for file in surplus(Rotation(retain_for=5 * DAY), path, now)] == ["99990101"]
    assert bare not in surplus(Rotation(retain_for=DAY), path, now), "nothing tells how old it is"


def test_a_clock_that_was_set_back_makes_no_file_older_than_those_before(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    moved = []
    for number, now in enumerate((NOW, NOW + 3600, NOW - 3600, NOW - 3599, NOW + 3600.5, NOW + 7200)):
        path.write_text(f"{number}\n")
        moved.append(move_away(path, now))
        assert surplus(Rotation(retain_files=number + 1), path, now) == []
        assert [file for _, file in rotated(path)] == moved
    assert surplus(Rotation(retain_files=1), path, NOW) == moved[:-1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_can_not_be_read_keeps_no_other_from_being_removed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    shut, old = named(tmp_path, "20260101T000000Z"), named(tmp_path, "20260102T000000Z")
    shut.chmod(0)
    written(path, range(10), Rotation(size=1_000, retain_for=DAY))
    assert (shut.exists(), old.exists()) == (True, False)


def of_a_hundred_years_ago(path: Path) -> None:
    """As if the whole file had been written then."""
    known: dict[str, Head] = {}
    made = b""
    for line in path.read_bytes().replace(b'"time":"20', b'"time":"19').splitlines():
        link = link_of(line)
        assert link is not None
        before = known.get(link.writer, beginning(link.writer))
        known[link.writer] = Head(link.writer, link.seq, hash_of(before.hash, link.body))
        made += link.body + f',"hash":"{known[link.writer].hash}"}}\n'.encode()
    path.write_bytes(made)


def test_what_is_removed_is_told_with_the_end_of_every_chain_in_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for start in (0, 10):
        written(path, range(start, start + 10), Rotation())
    of_a_hundred_years_ago(path)
    ends = heads_at_end(path)
    assert len(ends) == 2
    old = path.rename(tmp_path / "audit-20260101T000000Z-1.jsonl")
    written(path, range(20, 30), Rotation(size=3_000, retain_for=DAY))
    assert not old.exists()
    (gone,) = [line["details"] for line in all_lines(whole(path)) if line.get("event") == "audit.removed"]
    assert (gone["file"], set(gone["heads"])) == (old.name, ends)


KEYS = parse_keys(generate_key(b"k" * 32, created=int(NOW)))
OTHERS = parse_keys(generate_key(b"o" * 32, created=int(NOW)))


def kept_by(path: Path, keys: KeyRing | None, rotation: Rotation, count: int = 40) -> None:
    """Decisions of a writer with these keys, each of which may rotate the file."""
    audit = AuditFile(path, DEFAULTS, keys=keys, rotation=rotation)
    for number in range(count):
        audit.keep([decision(number)])
    audit.close()


def publics(keys: KeyRing) -> Mapping[str, str]:
    return by_id(public_keys(keys))


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_younger_file_that_was_given_an_older_name_stays_and_the_log_says_so(
    tmp_path: Path, keys: KeyRing | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    kept_by(path, keys, Rotation(size=3_000))
    renamed = rotated(path)[0][1].rename(tmp_path / "audit-20200101T000000Z-1.jsonl")
    old = named(tmp_path, "20200101T000000Z", 2)
    kept_by(path, keys, Rotation(size=3_000, retain_for=DAY))
    assert (renamed.exists(), old.exists()) == (True, False)
    said = capsys.readouterr().out
    assert "audit-left-alone" in said
    assert renamed.name in said


@pytest.mark.parametrize("keys", [None, KEYS])
def test_files_that_somebody_has_put_there_push_no_other_out(
    tmp_path: Path, keys: KeyRing | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    kept_by(path, keys, Rotation(size=3_000))
    ours = [file for _, file in rotated(path)]
    for number in range(1, 6):
        named(tmp_path, "20990101T000000Z", number).write_bytes(ours[0].read_bytes())
    kept_by(path, keys, Rotation(size=path.stat().st_size, retain_files=len(ours) + 1), count=1)
    assert all(file.exists() for file in ours)
    assert "audit-left-alone" in capsys.readouterr().out


def test_a_file_is_known_by_the_name_in_its_end_and_by_who_has_signed_that(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept_by(path, KEYS, Rotation(size=3_000))
    one, another = (file for _, file in rotated(path)[:2])
    assert is_sealed(one, publics(KEYS))
    assert is_sealed(one, None)
    assert not is_sealed(one, publics(OTHERS))
    assert not is_sealed(path, publics(KEYS)), "it has no other name yet"
    assert not is_sealed(tmp_path / "none", publics(KEYS))
    whole = one.read_bytes()
    with one.open("ab") as late:  # what another process was at when the file was moved
        late.write(b'{"v":1,"time":"2026-01-01T00:00:00Z"}\n' * 500)
    assert is_sealed(one, publics(KEYS))
    one.write_bytes(whole.replace(one.name.encode(), another.name.encode()))
    one.rename(another)
    assert not is_sealed(another, publics(KEYS))
    assert not is_sealed(another, None), "the hash of the line is of other bytes"


def test_without_a_signature_a_name_counts_only_where_nobody_has_keys(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    kept_by(path, None, Rotation(size=3_000))
    one = rotated(path)[0][1]
    assert (is_sealed(one, None), is_sealed(one, publics(KEYS))) == (True, False)


@pytest.mark.parametrize("end", [b"", b"{}", b'{"v":1,"event":"audit.rotated"}', b"\xff" * 300])
def test_an_end_that_says_nothing_seals_nothing(tmp_path: Path, end: bytes) -> None:
    file = named(tmp_path, "20260102T000000Z")
    file.write_bytes(b"\n" + end + b"\n")
    assert not is_sealed(file, None)


def heads_at_end(file: Path) -> set[str]:
    last = {line["writer"]: line for line in all_lines(file)}
    return {f"{name}:{line['seq']}:{line['hash']}" for name, line in last.items()}


def test_several_writers_rotate_one_file_together(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audits = [Journal(audit=AuditFile(path, DEFAULTS, rotation=Rotation(size=20_000))) for _ in range(3)]
    for number in range(300):
        for audit in audits:
            audit.record(decision(number))
        if number % 50 == 0:
            assert comes(lambda: all(audit.count().waiting == 0 for audit in audits))
    for audit in audits:
        audit.close()
    assert sorted(ids(whole(path))) == sorted([f"d-{number}" for number in range(300)] * 3)
    assert len(heads(whole(path))) == 3


def test_who_is_idle_signs_and_ends_in_the_file_that_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of its last line may be removed by now: what it would append there nobody has."""
    monkeypatch.setattr(audit_file, "CHECKPOINT_EVERY", 0.0)
    path = tmp_path / "audit.jsonl"
    keys = parse_keys(generate_key(b"k" * 32, created=int(NOW)))
    idle = AuditFile(path, DEFAULTS, keys=keys)
    idle.commit([decision(1)])
    for _ in range(2):
        path.unlink()
        idle.keep(())
        idle.commit([decision(2)])
        path.unlink()
        idle.keep(())
        assert all_lines(path)[0]["event"] == "audit.checkpoint"
    path.unlink()
    idle.close()
    assert [line["event"] for line in all_lines(path)] == ["audit.stopped"]


def test_who_does_not_get_the_lock_goes_on_without_rotating(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with alone(path) as may:
        assert may
        written(path, range(10), Rotation(size=1_000))
    assert rotated(path) == []
    assert len(ids(path)) == 10


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_keeps_no_record_out(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.touch()
    tmp_path.chmod(0o500)
    written(path, range(10), Rotation(size=1_000))
    tmp_path.chmod(0o700)
    assert len(ids(path)) == 10


def test_a_rotation_that_fails_keeps_no_record_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("extauthz.record.audit_file.move_away", fail)
    path = tmp_path / "audit.jsonl"
    written(path, range(10), Rotation(size=1_000))
    assert len(ids(path)) == 10
    assert capsys.readouterr().out.count("audit-rotation-failed") == 1


def test_settings_say_when_to_rotate_and_what_to_keep() -> None:
    told = {"path": "a.jsonl", "rotate": {"size": "100MB", "every": "24h"}, "retain": {"for": "90d", "files": 30}}
    settings = AuditSettings.model_validate(told)
    assert settings.rotate is not None
    assert settings.retain is not None
    assert (settings.rotate.size, settings.rotate.every) == (100_000_000, DAY)
    assert (settings.retain.for_, settings.retain.files) == (90 * DAY, 30)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"rotate": {}}, "needs `size`, `every` or both"),
        ({"rotate": {"size": 5}}, "not a size"),
        ({"rotate": {"size": "5"}}, "not a size"),
        ({"rotate": {"size": "0MB"}}, "not a size"),
        ({"rotate": {"every": "0s"}}, "longer than nothing"),
        ({"retain": {"files": 1}}, "`retain` is about rotated files"),
        ({"rotate": {"size": "1MB"}, "retain": {"files": 0}}, "greater than or equal to 1"),
        ({"rotate": {"size": "1MB"}, "retain": {"for_": "1d"}}, "Extra inputs"),
        ({"when_full": "stop"}, "'deny' or 'go-on'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(told: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AuditSettings.model_validate({"path": "a.jsonl", **told})


def test_while_the_file_can_not_be_written_nothing_is_decided_if_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = AuditJournal(path, must=True)
    assert not audit.blocked
    audit.record(decision(1))
    assert comes(lambda: audit.blocked)
    path.unlink()
    assert comes(lambda: not audit.blocked)
    audit.close()
    assert ids(path) == ["d-1"]
