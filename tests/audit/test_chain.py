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


def test_a_line_is_signed_by_one_key_for_one_place_with_all_that_it_says() -> None:
    seed, other = b"s" * 32, b"t" * 32
    head = Head(WRITER, 7, "d" * 64)
    line = signed(head, b'{"v":1,"event":"audit.removed","details":{"file":"a","key":"k1"}', seed)
    (whole,), _ = chained(head, [line])
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
    (whole,), _ = chained(beginning(WRITER), [line])
    link = link_of(whole[:-1])
    assert link is not None
    assert signed_of(link) is None
