"""The chain of an audit: every byte counts, every line has its place, and a checkpoint is signed by one key."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.chain import (
    Head,
    after,
    beginning,
    chained,
    checkpoint_text,
    hash_of,
    is_signed,
    link_of,
    public_key,
    sign,
)

WRITER = "00112233445566ff"
LINES = st.lists(st.dictionaries(st.text(), st.text(), min_size=1).map(lambda one: json.dumps(one).encode()[:-1]))


def test_a_chain_is_what_the_documentation_says() -> None:
    """Computed here by the words of docs/records.md, without the code under test."""
    (first, second), hashes = chained(beginning(WRITER), [b'{"v":1', b'{"v":1,"a":"b"'])
    before = sha256(b"extauthz audit v1\n" + WRITER.encode()).hexdigest()
    for number, line, body in ((1, first, b'{"v":1'), (2, second, b'{"v":1,"a":"b"')):
        hashed = body + b',"writer":"00112233445566ff","seq":' + str(number).encode()
        before = sha256(before.encode() + hashed).hexdigest()
        assert line == hashed + b',"hash":"' + before.encode() + b'"}\n'
        assert hashes[number - 1] == before
    assert json.loads(second) == {"v": 1, "a": "b", "writer": WRITER, "seq": 2, "hash": hashes[1]}


@given(LINES)
def test_every_line_says_where_it_stands_and_its_hash_follows_from_the_one_before(lines: list[bytes]) -> None:
    written, hashes = chained(beginning(WRITER), lines)
    before = beginning(WRITER).hash
    for number, (line, told) in enumerate(zip(written, hashes, strict=True), 1):
        link = link_of(line.removesuffix(b"\n"))
        assert link is not None
        assert (link.writer, link.seq, link.hash) == (WRITER, number, told)
        assert told == hash_of(before, link.body)
        before = told


@given(LINES, LINES)
def test_a_chain_that_goes_on_later_is_the_chain_in_one_piece(some: list[bytes], more: list[bytes]) -> None:
    head = beginning(WRITER)
    first, hashes = chained(head, some)
    second, _ = chained(after(head, hashes), more)
    assert first + second == chained(head, some + more)[0]


@given(LINES.filter(bool), st.data())
def test_a_byte_that_is_changed_is_another_line_or_another_hash(lines: list[bytes], data: st.DataObject) -> None:
    written, _ = chained(beginning(WRITER), lines)
    line = bytearray(written[-1].removesuffix(b"\n"))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    link = link_of(bytes(line))
    before = after(beginning(WRITER), chained(beginning(WRITER), lines[:-1])[1])
    if link is not None and (link.writer, link.seq) == (WRITER, len(lines)):
        assert link.hash != hash_of(before.hash, link.body)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"v":1}',
        b'{"v":1,"writer":"00112233445566ff","seq":0,"hash":"' + b"a" * 64 + b'"}',
        b'{"v":1,"writer":"00112233445566FF","seq":1,"hash":"' + b"a" * 64 + b'"}',
        b'{"v":1,"writer":"00112233445566ff","seq":1,"hash":"' + b"a" * 63 + b'"}',
        b'{"v":1,"writer":"00112233445566ff","seq":1,"hash":"' + b"a" * 64 + b'"} ',
        b'{"a":"\\",\\"writer\\":\\"00112233445566ff\\",\\"seq\\":1,\\"hash\\":\\"' + b"a" * 64 + b'\\"}"}',
    ],
)
def test_what_does_not_end_like_a_line_of_a_chain_stands_nowhere(line: bytes) -> None:
    assert link_of(line) is None


def test_a_checkpoint_is_signed_by_one_key_for_one_place() -> None:
    seed, other = b"s" * 32, b"t" * 32
    head = Head(WRITER, 7, "d" * 64)
    text = checkpoint_text(head, "2026-01-02T03:04:05.000000000Z")
    assert text.split(b"\n") == [
        b"extauthz audit checkpoint v1",
        WRITER.encode(),
        b"8",
        head.hash.encode(),
        b"2026-01-02T03:04:05.000000000Z",
    ]
    signature = sign(seed, text)
    assert is_signed(public_key(seed), signature, text)
    assert not is_signed(public_key(other), signature, text)
    assert not is_signed(public_key(seed), signature, checkpoint_text(Head(WRITER, 8, "d" * 64), "x"))
    for broken in ("", "?", signature + "=", signature[:-1], signature[:-1] + chr(ord(signature[-1]) ^ 1)):
        assert not is_signed(public_key(seed), broken, text)
    assert not is_signed("", signature, text)
