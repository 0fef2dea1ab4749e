"""Whatever is done to a real log is found at its place: real files of several writers, through rotations."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from audit.auditing import decision
from audit.tampering import known, places, verified
from hypothesis import given
from hypothesis import strategies as st

from extauthz.history.audit_files import written_by
from extauthz.history.chains import KnownHead
from extauthz.record import audit_file
from extauthz.record.audit_file import AuditFile
from extauthz.record.audit_keys import by_id, public_keys
from extauthz.record.chain import Head, after, beginning, chained, link_of
from extauthz.record.life import LifeRecord
from extauthz.record.masking import Keep
from extauthz.record.rotation import Rotation
from extauthz.stepup.keys import generate_key, parse_keys

KEYS = parse_keys(generate_key(b"k" * 32, created=1_790_000_000))
PUBLIC = dict(by_id(public_keys(KEYS)))
ROUNDS = 30

Files = dict[str, list[bytes]]


@cache
def written(retained: int | None = None) -> tuple[tuple[tuple[str, bytes], ...], tuple[KnownHead, ...]]:
    """What three writers write to one file that is rotated time and again, and where their chains end."""
    with TemporaryDirectory() as folder, patch.object(audit_file, "CHECKPOINT_LINES", 7):
        path = Path(folder) / "audit.jsonl"
        rotation = Rotation(size=9_000, retain_files=retained)
        writers = [AuditFile(path, Keep(), keys=KEYS, rotation=rotation) for _ in range(3)]
        for number in range(ROUNDS):
            for count, writer in enumerate(writers, 1):
                writer.keep([decision(10 * number + one, "/p" + "x" * one) for one in range(count)])
            if number == ROUNDS // 2:
                writers.pop().close()
            if number % 8 == 0:
                writers[0].commit([LifeRecord(kind="keys.changed", at_ns=1_790_000_000 * 10**9)])
        for writer in writers:
            writer.close()
        heads = tuple(known(writer.head) for writer in writers)
        return tuple((one.name, one.read_bytes()) for one in written_by(path)), heads


def log() -> Files:
    return {name: content.splitlines(keepends=True) for name, content in written()[0]}


@contextmanager
def on_disk(files: Files) -> Iterator[list[Path]]:
    with TemporaryDirectory() as folder:
        for name, lines in files.items():
            (Path(folder) / name).write_bytes(b"".join(lines))
        yield [Path(folder) / name for name in files]


def writer_of(line: bytes) -> str:
    link = link_of(line.removesuffix(b"\n"))
    assert link is not None
    return link.writer


def later(files: Files, name: str, index: int) -> list[tuple[str, int]]:
    """The places of the next lines of the same writer."""
    writer = writer_of(files[name][index])
    places = [(file, number) for file, lines in files.items() for number in range(len(lines))]
    return [
        (file, number)
        for file, number in places[places.index((name, index)) + 1 :]
        if writer_of(files[file][number]) == writer
    ]


PLACES = st.sampled_from([(name, index) for name, lines in log().items() for index in range(len(lines))])
HEADS = list(written()[1])


@given(st.permutations(list(log())))
def test_what_was_written_is_clean_whatever_the_order_of_its_files(order: list[str]) -> None:
    assert len(log()) >= 3
    with on_disk(log()) as files:
        found = verified(*(files[0].parent / name for name in order), keys=PUBLIC, heads=HEADS)
    assert found.mistakes == ()
    assert len(found.writers) == 3
    assert all(one.stopped and one.signed == one.last for one in found.writers)
    assert [one.text.split(" writer ")[0] for one in found.remarks] == ["the store does not know"]


@given(PLACES, st.data())
def test_any_byte_that_is_changed_is_found_at_its_line(place: tuple[str, int], data: st.DataObject) -> None:
    name, index = place
    files = log()
    line = bytearray(files[name][index])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    files[name][index] = bytes(line)
    with on_disk(files) as paths:
        found = places(verified(*paths, keys=PUBLIC))
    split = ord("\n") in line[:-1]
    assert {(name, index + 1), (name, index + 1 + split)} & {(file, number) for file, number, _ in found}
    assert len(found) <= 3


@given(PLACES)
def test_a_line_that_is_removed_is_found_at_the_next_one_or_by_the_head(place: tuple[str, int]) -> None:
    name, index = place
    files = log()
    behind = later(files, name, index)
    writer = writer_of(files[name].pop(index))
    with on_disk(files) as paths:
        found = verified(*paths, keys=PUBLIC, heads=HEADS)
    if behind:
        file, number = behind[0]
        assert places(found) == [(file, number + 1 - (file == name), "missing")]
    elif any(head.writer == writer for head in HEADS):
        assert [mistake for _, _, mistake in places(found)] == ["cut"]
    else:  # of the writer that the store was not told of
        assert any("has no end here" in one.text for one in found.remarks)


@given(PLACES, st.integers(1, 3))
def test_a_line_that_comes_again_is_found_there(place: tuple[str, int], behind: int) -> None:
    name, index = place
    files = log()
    at = min(index + behind, len(files[name]))
    files[name].insert(at, files[name][index])
    with on_disk(files) as paths:
        assert places(verified(*paths, keys=PUBLIC)) == [(name, at + 1, "repeated")]


@given(PLACES, st.data())
def test_lines_of_a_writer_that_are_swapped_are_found_at_the_first(place: tuple[str, int], data: st.DataObject) -> None:
    name, index = place
    files = log()
    behind = [number for file, number in later(files, name, index) if file == name]
    if not behind:
        return
    other = data.draw(st.sampled_from(behind))
    files[name][index], files[name][other] = files[name][other], files[name][index]
    with on_disk(files) as paths:
        found = places(verified(*paths, keys=PUBLIC, heads=HEADS))
    assert found
    assert min(number for file, number, _ in found if file == name) in (index + 1, *(one + 1 for one in behind))


@given(PLACES, st.data())
def test_a_file_that_is_cut_at_any_byte_is_found(place: tuple[str, int], data: st.DataObject) -> None:
    name, index = place
    files = log()
    heads = [*HEADS, *_heads_of_all(files)]
    gone = files[name][index]
    files[name] = [*files[name][:index], gone[: data.draw(st.integers(0, len(gone) - 2))]]
    with on_disk(files) as paths:
        found = verified(*paths, keys=PUBLIC, heads=heads)
    assert {mistake for _, _, mistake in places(found)} <= {"missing", "cut", "vanished"}
    assert found.count


@given(PLACES, st.integers(0, 3))
def test_a_forged_chain_with_right_hashes_is_found_without_the_key(place: tuple[str, int], more: int) -> None:
    """From some line on all that this writer wrote is written anew, one line in it another one, every hash right."""
    name, index = place
    files = log()
    behind = later(files, name, index)
    writer = writer_of(files[name][index])
    link = link_of(files[name][index][:-1])
    assert link is not None
    body = link.body[: link.body.index(b',"writer":')].replace(b'"time":"2026', b'"time":"2027', 1) + b',"x":1' * more
    head = Head(writer, link.seq - 1, _before(files, name, index))
    for file, number, text in [
        (name, index, body),
        *((file, number, _body(files[file][number])) for file, number in behind),
    ]:
        pieces = chained(head, [text])
        files[file][number] = b"".join(pieces)
        head = after(head, pieces)
    with on_disk(files) as paths:
        found = verified(*paths, keys=PUBLIC)
        unkeyed = verified(*paths, keys=None)
    assert unkeyed.count == 0  # whoever has no key can't know
    signed = [(name, index), *behind]
    first = next((file, number + 1) for file, number in signed if b'"signature"' in files[file][number])
    assert {mistake for _, _, mistake in places(found)} == {"signature"}
    assert first in {(file, number) for file, number, _ in places(found)}


def test_a_log_that_retention_has_shortened_is_clean_and_says_where_it_begins() -> None:
    content, heads = written(retained=2)
    files = {name: data.splitlines(keepends=True) for name, data in content}
    assert len(files) == 3
    assert any(b'"audit.removed"' in line for lines in files.values() for line in lines)
    with on_disk(files) as paths:
        found = verified(*paths, keys=PUBLIC, heads=list(heads))
        assert found.mistakes == ()
        assert all(one.first > 1 for one in found.writers)
        paths[0].unlink()
        assert "missing" in {mistake for _, _, mistake in places(verified(*paths[1:], keys=PUBLIC))}


def _heads_of_all(files: Files) -> list[KnownHead]:
    """The ends of all chains, as a store that was told of each has them."""
    ends: dict[str, KnownHead] = {}
    for lines in files.values():
        for line in lines:
            link = link_of(line[:-1])
            assert link is not None
            ends[link.writer] = known(link)
    return list(ends.values())


def _body(line: bytes) -> bytes:
    return line[: line.rindex(b',"writer":')]


def _before(files: Files, name: str, index: int) -> str:
    """The hash before a line in its chain."""
    writer, hash_ = writer_of(files[name][index]), Head("", 0, "").hash
    for file, lines in files.items():
        for number, line in enumerate(lines):
            link = link_of(line[:-1])
            assert link is not None
            if (file, number) == (name, index):
                return hash_ or _opening(writer)
            if link.writer == writer:
                hash_ = link.hash
    raise AssertionError(name)


def _opening(writer: str) -> str:
    return beginning(writer).hash
