"""A log that was not touched is clean, and every touch is found, with its file and line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from audit.tampering import KEYS, SEED, Hand, event, known, places, plain, verified
from hypothesis import given
from hypothesis import strategies as st

from extauthz.history.chains import MOST_UNSIGNED, KnownHead, is_torn
from extauthz.record.chain import Head, link_of, public_key

A, B = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
Log = dict[str, list[bytes]]


def log() -> tuple[Log, list[KnownHead]]:
    """Two writers in three files: one from the first to the last, one that ends in the second; all signed."""
    one, two = Hand(A), Hand(B)
    first = [*one.sign("started"), *two.sign("started"), *one.write(plain(1), plain(2)), *two.write(plain(3))]
    first += [*one.write(plain(4)), *one.sign("checkpoint"), *two.write(plain(5)), *one.sign("rotated", file="1")]
    first += two.write(plain(6))  # it hears of the rotation a little later
    second = [*one.write(plain(7)), *two.write(plain(7)), *one.write(plain(8), plain(9)), *one.sign("checkpoint")]
    second += [*two.sign("stopped"), *one.write(plain(10)), *one.sign("rotated", file="2")]
    third = [*one.write(plain(11), plain(12)), *one.sign("stopped")]
    return {"audit-1.jsonl": first, "audit-2.jsonl": second, "audit.jsonl": third}, [one.known(), two.known()]


@contextmanager
def on_disk(lines: Log) -> Iterator[list[Path]]:
    with TemporaryDirectory() as folder:
        for name, content in lines.items():
            (Path(folder) / name).write_bytes(b"".join(content))
        yield [Path(folder) / name for name in lines]


def writer_of(line: bytes) -> bytes:
    return line.split(b'"writer":"')[1][:16]


def end_of(line: bytes) -> str:
    """A line's place in its chain, as `audit.removed` has it."""
    link = link_of(line[:-1])
    assert link is not None
    return f"{link.writer}:{link.seq}:{link.hash}"


def next_of(lines: Log, name: str, index: int) -> tuple[str, int] | None:
    """The place of the next line of the same writer."""
    names = list(lines)
    writer = writer_of(lines[name][index])
    rest = [(name, number) for number in range(index + 1, len(lines[name]))]
    rest += [(later, number) for later in names[names.index(name) + 1 :] for number in range(len(lines[later]))]
    return next(((file, number + 1) for file, number in rest if writer_of(lines[file][number]) == writer), None)


PLACES = st.sampled_from([(name, index) for name, lines in log()[0].items() for index in range(len(lines))])


@given(st.permutations(range(3)))
def test_an_untouched_log_is_clean_in_any_order_of_its_files(order: list[int]) -> None:
    lines, heads = log()
    with on_disk(lines) as files:
        result = verified(*(files[number] for number in order), heads=heads)
    assert (result.count, result.mistakes, result.remarks) == (0, (), ())
    assert result.lines == sum(map(len, lines.values()))
    assert {(one.name, one.first, one.last, one.stopped) for one in result.writers} == {
        (A, 1, 15, True),
        (B, 1, 6, True),
    }


@given(PLACES, st.data(), st.permutations(range(3)), st.booleans())
def test_any_byte_that_is_changed_is_found_at_its_line(
    place: tuple[str, int], data: st.DataObject, order: list[int], signed: bool
) -> None:
    name, index = place
    lines, _ = log()
    line = bytearray(lines[name][index])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    after = next_of(lines, name, index)
    lines[name][index] = bytes(line)
    with on_disk(lines) as files:
        found = verified(*(files[number] for number in order), keys=KEYS if signed else None)
    where = {(file, number) for file, number, _ in places(found)}
    # What is made a line's end splits it, and then its second half is wrong.
    theirs = {(name, index + 1)} if ord("\n") not in line[:-1] else {(name, index + 1), (name, index + 2)}
    assert where & theirs
    moved = {(file, number + 1) for file, number in theirs | ({after} if after else set()) if file == name}
    assert where <= theirs | ({after} if after else set()) | moved | {
        (file, number - 1) for file, number in theirs | ({after} if after else set()) if file == name
    }


@given(PLACES)
def test_a_line_that_is_removed_is_found_at_the_next_of_its_writer(place: tuple[str, int]) -> None:
    name, index = place
    lines, heads = log()
    after = next_of(lines, name, index)
    gone = lines[name].pop(index)
    with on_disk(lines) as files:
        found, compared = verified(*files), verified(*files, heads=heads)
    if after is None:  # the last one: only the store can know of it
        assert found.count == 0
        assert found.remarks
        assert [mistake for _, _, mistake in places(compared)] == ["cut"]
        assert writer_of(gone).decode() in compared.mistakes[0].text
        return
    file, number = after
    assert places(found) == [(file, number - (file == name), "missing")]


@given(PLACES, st.data())
def test_a_line_that_comes_again_is_found_where_it_does(place: tuple[str, int], data: st.DataObject) -> None:
    name, index = place
    lines, _ = log()
    target = data.draw(st.sampled_from(sorted(lines)))
    at = data.draw(st.integers(index + 1 if target == name else 0, len(lines[target])))
    lines[target].insert(at, lines[name][index])
    with on_disk(lines) as files:
        found = places(verified(*files))
    assert found
    names = list(lines)
    if names.index(target) >= names.index(name) and any(
        writer_of(line) == writer_of(lines[name][index]) for line in lines[target][:at]
    ):
        assert found == [(target, at + 1, "repeated")]


@given(PLACES, st.data())
def test_lines_that_are_swapped_are_found_at_the_first_of_them(place: tuple[str, int], data: st.DataObject) -> None:
    name, index = place
    lines, heads = log()
    theirs = [
        number
        for number, line in enumerate(lines[name])
        if number > index and writer_of(line) == writer_of(lines[name][index])
    ]
    if not theirs:
        return
    other = data.draw(st.sampled_from(theirs))
    lines[name][index], lines[name][other] = lines[name][other], lines[name][index]
    with on_disk(lines) as files:
        found = places(verified(*files, heads=heads))
    assert found
    assert found[0][:2] == (name, index + 1) or name != found[0][0]


@given(PLACES, st.data())
def test_a_file_that_is_cut_is_found_by_the_chains_or_by_the_heads(place: tuple[str, int], data: st.DataObject) -> None:
    name, index = place
    lines, heads = log()
    kept = lines[name][index][: data.draw(st.integers(0, len(lines[name][index]) - 2))]
    lines[name] = [*lines[name][:index], kept]
    with on_disk(lines) as files:
        found = verified(*files, heads=heads)
        alone = verified(*files)
    assert found.count
    assert {mistake for _, _, mistake in places(found)} <= {"cut", "missing", "vanished"}
    if name != "audit.jsonl":
        assert ("missing" in [mistake for _, _, mistake in places(alone)]) or alone.remarks
    assert any("half a line" in one.text for one in found.remarks) == bool(kept)


def test_the_newline_of_a_last_line_alone_is_nothing_that_was_told() -> None:
    lines, heads = log()
    lines["audit.jsonl"][-1] = lines["audit.jsonl"][-1][:-1]
    with on_disk(lines) as files:
        assert verified(*files, heads=heads).count == 0


@given(st.sampled_from(["audit-1.jsonl", "audit-2.jsonl", "audit.jsonl"]))
def test_a_file_that_vanishes_is_found(name: str) -> None:
    lines, heads = log()
    del lines[name]
    with on_disk(lines) as files:
        found, alone = verified(*files, heads=heads), verified(*files)
    assert found.count
    assert alone.count or name == "audit.jsonl"


def test_a_writer_that_vanishes_is_found_by_the_heads() -> None:
    lines, heads = log()
    lines = {name: [line for line in content if writer_of(line) != B.encode()] for name, content in lines.items()}
    with on_disk(lines) as files:
        assert verified(*files).count == 0
        found = verified(*files, heads=heads)
    assert places(found) == [("", 0, "vanished")]
    assert B in found.mistakes[0].text
    assert "line 6" in found.mistakes[0].text


@given(st.integers(1, 13), st.booleans())
def test_a_chain_that_is_forged_without_the_key_is_found(kept: int, with_events: bool) -> None:
    """From some line on somebody writes another story, with hashes that are right."""
    genuine = Hand(A)
    lines = genuine.sign("started") + genuine.write(*map(plain, range(12))) + genuine.sign("stopped")
    forger = Hand(A, seed=b"f" * 32 if with_events else None)
    forger.head = Head(A, kept, lines[kept - 1].split(b'"hash":"')[1][:64].decode())
    forged = forger.write(plain(99)) + forger.sign("stopped")
    with on_disk({"audit.jsonl": lines[:kept] + forged}) as files:
        assert places(verified(*files)) == [("audit.jsonl", kept + 2, "signature")]
        assert verified(*files, keys=None).count == 0  # nobody without the key can know


def test_a_forger_who_signs_nothing_is_found_by_the_heads_or_by_so_many_lines() -> None:
    genuine = Hand(A)
    lines = genuine.sign("started") + genuine.write(plain(1), plain(2), plain(3))
    forger = Hand(A)
    forger.write(*[line[: line.index(b',"writer"')] for line in lines[:2]])
    forged = forger.write(plain(7), plain(8), plain(9))
    with on_disk({"audit.jsonl": lines[:2] + forged}) as files:
        assert places(verified(*files, heads=[genuine.known()])) == [("audit.jsonl", 4, "changed")]
    many = forger.write(*map(plain, range(MOST_UNSIGNED)))
    with on_disk({"audit.jsonl": lines[:2] + forged + many}) as files:
        assert places(verified(*files)) == [("audit.jsonl", MOST_UNSIGNED + 2, "signature")]


def test_a_fork_is_found_at_its_second_branch() -> None:
    genuine, forger = Hand(A), Hand(A)
    lines = genuine.sign("started")
    forger.head = genuine.head
    lines += genuine.write(plain(1), plain(2)) + forger.write(plain(9)) + genuine.sign("stopped")
    with on_disk({"audit.jsonl": lines}) as files:
        assert places(verified(*files)) == [("audit.jsonl", 4, "repeated")]
    lines.insert(1, lines.pop(3))  # the forged branch first: the true one is the second then
    with on_disk({"audit.jsonl": lines}) as files:
        assert places(verified(*files)) == [("audit.jsonl", 3, "repeated")]


def test_a_writer_whom_nobody_knows_and_who_signs_nothing_is_found() -> None:
    lines, heads = log()
    stranger = Hand("cccccccccccccccc", seed=None)
    lines["audit.jsonl"] += stranger.write(plain(1), plain(2))
    with on_disk(lines) as files:
        assert places(verified(*files, heads=heads)) == [
            ("audit.jsonl", 4, "signature"),
            ("audit.jsonl", 5, "signature"),
        ]
        assert places(verified(*files)) == [("audit.jsonl", 4, "signature")]


@pytest.mark.parametrize("line", [plain(1) + b"}\n", b"hello\n", b"\x00" * 40 + b"\n", b'{"v":2,"time":"\n'])
def test_a_line_of_no_chain_is_found(line: bytes) -> None:
    lines, _ = log()
    lines["audit-2.jsonl"].insert(3, line)
    with on_disk(lines) as files:
        assert places(verified(*files)) == [("audit-2.jsonl", 4, "stray")]


def test_half_a_line_is_told_and_is_no_mistake() -> None:
    lines, heads = log()
    killed = Hand("cccccccccccccccc")
    whole, torn = killed.sign("started"), killed.write(plain(1))[0]
    head = known(Head(killed.name, 1, whole[0].split(b'"hash":"')[1][:64].decode()))
    lines["audit-1.jsonl"] += [*whole, torn[:-20], b"\n"]
    with on_disk(lines) as files:
        found = verified(*files, heads=[*heads, head])
    assert found.count == 0
    assert [(one.line, one.text.split(",")[0]) for one in found.remarks if "half" in one.text] == [(12, "half a line")]


@given(st.sampled_from([line for lines in log()[0].values() for line in lines]), st.data())
def test_a_line_is_torn_if_and_only_if_it_is_the_beginning_of_one(line: bytes, data: st.DataObject) -> None:
    line = line[:-1]
    assert is_torn(line[: data.draw(st.integers(0, len(line) - 1))])
    assert not is_torn(line)
    changed = bytearray(line)
    changed[-data.draw(st.integers(1, 110))] = data.draw(st.integers(0, 255))
    assert bytes(changed) == line or not is_torn(bytes(changed)) or ord("\n") in changed


def test_an_unknown_key_and_a_signature_of_other_lines_are_found() -> None:
    lines, _ = log()
    with on_disk(lines) as files:
        other = verified(*files, keys={"k1": public_key(b"o" * 32)})
        unknown = verified(*files, keys={})
        unchecked = verified(*files, keys=None)
    assert {mistake for _, _, mistake in places(other)} == {"signature"}
    assert all("which is none of those given" in one.text for one in unknown.mistakes)
    assert other.count == unknown.count == 8
    assert (unchecked.count, unchecked.signatures) == (0, False)


def test_a_chain_may_begin_where_the_retention_says() -> None:
    lines, heads = log()
    old = lines.pop("audit-1.jsonl")
    ends = [next(line for line in reversed(old) if writer_of(line) == name.encode()) for name in (A, B)]
    words = [end_of(line) for line in ends]
    keeper = Hand("dddddddddddddddd", seed=SEED)
    lines["audit.jsonl"] += keeper.sign("started")
    with on_disk(lines) as files:
        missing = verified(*files, heads=[*heads, keeper.known()])
    assert [mistake for _, _, mistake in places(missing)] == ["missing", "missing"]
    lines["audit.jsonl"] += keeper.sign("removed", file="audit-1.jsonl", heads=words) + keeper.sign("stopped")
    with on_disk(lines) as files:
        assert verified(*files, heads=[*heads, keeper.known()]).count == 0
        assert verified(*files).remarks == ()
    lines["audit-2.jsonl"] = lines["audit-2.jsonl"][1:]  # more than was removed
    with on_disk(lines) as files:
        assert places(verified(*files)) == [("audit-2.jsonl", 2, "missing")]


@pytest.mark.parametrize("behind", [[plain(98), plain(99)], [event("removed", heads=["x:1:y"])]])
def test_nothing_comes_behind_the_end_of_a_writer(behind: list[bytes]) -> None:
    writer = Hand(A)
    lines = writer.sign("started") + writer.write(plain(1)) + writer.sign("stopped")
    more = writer.write(*behind)
    with on_disk({"audit.jsonl": lines + more}) as files:
        assert ("audit.jsonl", 4, "stray") in places(verified(*files))
        assert places(verified(*files, keys=None)) == [("audit.jsonl", 4, "stray")]
    with on_disk({"audit-1.jsonl": lines, "audit.jsonl": more}) as files:
        assert ("audit.jsonl", 1, "stray") in places(verified(*files))


@pytest.mark.parametrize(
    "first",
    [
        b'{"v":1,"event":"audit.started",x',
        b'{"v":1,"event":"audit.started","details":5',
        b'{"v":1,"event":"audit.started","event":"challenge.met","time":""',
        b'{"v":1,"event":"audit.started","details":{"key":"k1"}',
        b'{"v":1,"event":"audit.started","details":{"key":"k1","signature":"' + b"A" * 86 + b'"}',
        b'{"v":1,"event":"audit.started","details":' + b"[" * 5_000,
    ],
)
def test_a_writer_whose_beginning_is_not_signed_is_found_however_it_is_written(first: bytes) -> None:
    lines, _ = log()
    stranger = Hand("cccccccccccccccc", seed=None)
    lines["audit.jsonl"] += stranger.write(first, plain(1))
    with on_disk(lines) as files:
        assert places(verified(*files)) == [("audit.jsonl", 4, "signature")]


@pytest.mark.parametrize("kind", ["checkpoint", "stopped"])
def test_a_signature_serves_no_other_line_in_its_place(kind: str) -> None:
    """Whoever can write the file takes the last line of a chain, which has a signature, and has it say something else:
    that a file was removed by the retention, or that nothing was cut off."""
    lines, _ = log()
    gone = lines.pop("audit-1.jsonl")
    heads = [end_of(next(line for line in reversed(gone) if writer_of(line) == name.encode())) for name in (A, B)]
    writer = Hand("cccccccccccccccc")
    begun = writer.sign("started")
    before = writer.head
    (true,) = writer.sign(kind)
    details = json.loads(true)["details"]
    forger = Hand(writer.name, seed=None)
    for forged in (event("removed", file="audit-1.jsonl", heads=heads, **details), event("rotated", **details)):
        forger.head = before
        with on_disk({**lines, "audit.jsonl": [*lines["audit.jsonl"], *begun, *forger.write(forged)]}) as files:
            assert ("audit.jsonl", 5, "signature") in places(verified(*files))


@pytest.mark.parametrize("kind", ["rotated", "removed", "checkpoint"])
def test_what_the_audit_says_of_itself_is_signed(kind: str) -> None:
    writer, forger = Hand(A), Hand(A, seed=None)
    lines = writer.sign("started")
    forger.head = writer.head
    with on_disk({"audit.jsonl": lines + forger.sign(kind)}) as files:
        assert places(verified(*files)) == [("audit.jsonl", 2, "signature")]


def test_too_many_lines_without_a_signature_are_found_from_one_file_to_the_next() -> None:
    writer = Hand(A)
    lines = {"audit-0.jsonl": writer.sign("started") + writer.write(plain(0))}
    for file in range(1, 4):
        lines[f"audit-{file}.jsonl"] = writer.write(*[plain(number) for number in range(MOST_UNSIGNED // 2)])
    with on_disk(lines) as files:
        assert places(verified(*files)) == [("audit-2.jsonl", 1, "signature")]
    lines["audit-4.jsonl"] = writer.sign("stopped")
    del lines["audit-2.jsonl"]
    with on_disk(lines) as files:
        assert [mistake for _, _, mistake in places(verified(*files))] == ["missing", "signature"]


@pytest.mark.parametrize("end", ['"a":', '"a":2', '"a":25.', '"a":2.5e', '"a":-', '"a":tru', '"a":"\\u00', '"a":[1,'])
def test_a_line_that_ends_within_a_value_is_torn(end: str) -> None:
    assert is_torn(b'{"v":1,' + end.encode())
    assert not is_torn(b'{"v":1}' + end.encode())


@pytest.mark.parametrize(("bare", "told"), [(0, ""), (1, "; 1 line at its end"), (3, "; 3 lines at its end")])
def test_it_says_how_many_lines_at_the_end_of_a_killed_writer_are_not_signed(bare: int, told: str) -> None:
    killed = Hand(A)
    lines = killed.sign("started") + killed.write(plain(1), plain(2)) + killed.sign("checkpoint")
    moved = killed.write(*map(plain, range(bare)))
    for files_of_it in ({"audit.jsonl": lines + moved}, {"audit.jsonl": moved, "audit-1.jsonl": lines}):
        with on_disk({name: held for name, held in files_of_it.items() if held}) as files:
            (remark,) = verified(*files).remarks
            assert remark.text.partition("cut off")[2].startswith(told)
            assert bool(remark.text.partition("cut off")[2]) == bool(told)
            (unchecked,) = verified(*files, keys=None).remarks
            assert unchecked.text.endswith("cut off")
