"""The chain of an audit: every byte counts, every line has its place, and a checkpoint is signed by one key."""

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.chain import (
    Head,
    after,
    beginning,
    chained,
    hash_of,
    is_signed,
    link_of,
    public_key,
    signed,
    signed_of,
)
from extauthz.record.chaining import PIECES

WRITER = "00112233445566ff"
LINES = st.lists(st.dictionaries(st.text(), st.text(), min_size=1).map(lambda one: json.dumps(one).encode()[:-1]))


def written(head: Head, lines: list[bytes]) -> list[bytes]:
    """The lines as they are written, each with its end."""
    pieces = chained(head, lines)
    return [b"".join(pieces[number : number + PIECES]) for number in range(0, len(pieces), PIECES)]


def test_a_chain_is_what_the_documentation_says() -> None:
    """Computed here by the words of docs/records.md, without the code under test."""
    first, second = written(beginning(WRITER), [b'{"v":1', b'{"v":1,"a":"b"'])
    before = sha256(b"extauthz audit v1\n" + WRITER.encode()).hexdigest()
    for number, line, body in ((1, first, b'{"v":1'), (2, second, b'{"v":1,"a":"b"')):
        hashed = body + b',"writer":"00112233445566ff","seq":' + str(number).encode()
        before = sha256(before.encode() + hashed).hexdigest()
        assert line == hashed + b',"hash":"' + before.encode() + b'"}\n'
    assert json.loads(second) == {"v": 1, "a": "b", "writer": WRITER, "seq": 2, "hash": before}


@given(LINES)
def test_every_line_says_where_it_stands_and_its_hash_follows_from_the_one_before(lines: list[bytes]) -> None:
    pieces = chained(beginning(WRITER), lines)
    before = beginning(WRITER)
    for number, line in enumerate(written(before, lines), 1):
        link = link_of(line.removesuffix(b"\n"))
        assert link is not None
        assert (link.writer, link.seq, link.hash) == (WRITER, number, hash_of(before.hash, link.body))
        before = Head(WRITER, number, link.hash)
        assert after(beginning(WRITER), pieces[: number * PIECES]) == before
        assert after(beginning(WRITER), pieces[: number * PIECES + 1]) == before, "of the next one only a part is out"


@given(LINES, LINES)
def test_a_chain_that_goes_on_later_is_the_chain_in_one_piece(some: list[bytes], more: list[bytes]) -> None:
    head = beginning(WRITER)
    first = chained(head, some)
    assert first + chained(after(head, first), more) == chained(head, some + more)


@given(LINES.filter(bool), st.data())
def test_a_byte_that_is_changed_is_another_line_or_another_hash(lines: list[bytes], data: st.DataObject) -> None:
    line = bytearray(written(beginning(WRITER), lines)[-1].removesuffix(b"\n"))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    link = link_of(bytes(line))
    before = after(beginning(WRITER), chained(beginning(WRITER), lines[:-1]))
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


def test_a_line_is_signed_by_one_key_for_one_place_with_all_that_it_says() -> None:
    seed, other = b"s" * 32, b"t" * 32
    head = Head(WRITER, 7, "d" * 64)
    line = signed(head, b'{"v":1,"event":"audit.removed","details":{"file":"a","key":"k1"}', seed)
    (whole,) = written(head, [line])
    link = link_of(whole[:-1])
    assert link is not None
    one = signed_of(link)
    assert one is not None
    assert one.said == b'{"v":1,"event":"audit.removed","details":{"file":"a","key":"k1"'
    text = b"\n".join((b"extauthz audit checkpoint v1", WRITER.encode(), b"8", head.hash.encode(), one.said))
    signature = urlsafe_b64decode(one.signature + "==")
    Ed25519PrivateKey.from_private_bytes(seed).public_key().verify(signature, text)
    assert is_signed(public_key(seed), head, one)
    assert not is_signed(public_key(other), head, one)
    assert not is_signed("", head, one)
    assert not is_signed(public_key(seed), Head(WRITER, 8, "d" * 64), one)
    assert not is_signed(public_key(seed), head, replace(one, said=one.said.replace(b'"a"', b'"b"')))
    last = one.signature[-1]
    for broken in ("", "?", one.signature + "=", one.signature[:-1], one.signature[:-1] + chr(ord(last) ^ 1)):
        assert not is_signed(public_key(seed), head, replace(one, signature=broken))


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":1,"details":{"key":"k1"}',
        b'{"v":1,"details":{"key":"k1","signature":"' + b"A" * 85 + b'"}',
        b'{"v":1,"details":{"signature":"' + b"A" * 86 + b'","key":"k1"}',
        b'{"v":1,"details":{"key":"k1","signature":"' + b"A" * 86 + b'"},"reason":"x"',
    ],
)
def test_a_signature_has_one_place(line: bytes) -> None:
    (whole,) = written(beginning(WRITER), [line])
    link = link_of(whole[:-1])
    assert link is not None
    assert signed_of(link) is None
