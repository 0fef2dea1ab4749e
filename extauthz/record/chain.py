"""How the lines of an audit hang together: the hash of each, and the signatures in between. No I/O here.

Each process that writes is a writer with a chain of its own, so lines of several writers may stand in one file. A line
ends with `,"writer":"…","seq":N,"hash":"…"}`: the writer's name, the number of the line among its own, from 1, and the
SHA-256 of the writer's hash before and of every byte of the line up to `,"hash"`. So nothing can be changed, left out
or put in between without another hash in every later line; and what the audit says of itself is signed, with its place
and the hash before it.

The rule kept here: what is written here has one spelling, so whoever reads compares texts and needs no tolerance.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from extauthz.record.chaining import PIECES, chained_behind, hash_at

OPENING: Final = b"extauthz audit v1\n"
"""What the hash before a writer's first line is of, followed by the writer's name."""
CHECKPOINT: Final = "extauthz audit checkpoint v1"
"""The first line of what a checkpoint signs."""
WRITER_BYTES: Final = 8
"""Random bytes of a writer's name, which is them in hex."""

_LONGEST_END: Final = 160
_PLACE: Final = rb',"writer":"([0-9a-f]{16})","seq":([1-9][0-9]{0,17})'
_END: Final = re.compile(_PLACE + rb'(,"hash":"([0-9a-f]{64})"\})\Z')
_LONGEST_SIGNATURE: Final = 192
_SIGNATURE: Final = re.compile(rb',"signature":"([A-Za-z0-9_-]{86})"\}' + _PLACE + rb"\Z")


class Head(msgspec.Struct, frozen=True):
    """The end of a writer's chain: the number of its last line, 0 before there is one, and the hash of it, in hex."""

    writer: str
    seq: int
    hash: str


class Link(msgspec.Struct, frozen=True):
    """What a line says of its place in a chain; `body` are the bytes that its hash takes in behind the hash before."""

    body: bytes
    writer: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What a line says under a signature: its own bytes up to, and without, `,"signature"`."""

    said: bytes
    signature: str


def beginning(writer: str) -> Head:
    """The chain of a writer before its first line. `writer` are WRITER_BYTES in lower-case hex."""
    return Head(writer, 0, sha256(OPENING + writer.encode("ascii")).hexdigest())


def hash_of(previous: str, body: bytes) -> str:
    """The hash of a line: of the hash before it, as text, and its bytes up to `,"hash"` (SHA-256, FIPS 180-4)."""
    return sha256(previous.encode("ascii") + body).hexdigest()


def chained(head: Head, lines: Sequence[bytes]) -> list[bytes]:
    """The pieces that the lines are written in, `PIECES` of each, of which the last ends with its newline.

    `lines` are JSON objects with a field at least, without the closing brace.
    """
    return chained_behind(head.writer, head.seq, head.hash, lines)


def after(head: Head, pieces: Sequence[bytes]) -> Head:
    """The head behind what `chained` made, or the first pieces of it: a line that is not whole is none."""
    lines = len(pieces) // PIECES
    return Head(head.writer, head.seq + lines, hash_at(pieces[lines * PIECES - 1])) if lines else head


def link_of(line: bytes) -> Link | None:
    """Where a line, without its newline, says that it stands; `None` if it says nothing, as lines of older versions."""
    found = _END.search(line, max(len(line) - _LONGEST_END, 0))
    if found is None:
        return None
    return Link(line[: found.start(3)], found[1].decode("ascii"), int(found[2]), found[4].decode("ascii"))


def signed(before: Head, line: bytes, seed: bytes) -> bytes:
    """The line behind `before`, and no other, with its signature by the key of this seed (Ed25519, RFC 8032 section
    5.1). `line` is a JSON object whose last field is an object with a field at least, without its closing brace."""
    said = line.removesuffix(b"}")
    signature = _encoded(Ed25519PrivateKey.from_private_bytes(seed).sign(_text(before, said)))
    return said + b',"signature":"' + signature.encode("ascii") + b'"}'


def signed_of(link: Link) -> Signed | None:
    """What a line says under a signature; `None` if it has none in its place."""
    found = _SIGNATURE.search(link.body, max(len(link.body) - _LONGEST_SIGNATURE, 0))
    return None if found is None else Signed(link.body[: found.start()], found[1].decode("ascii"))


def is_signed(public: str, before: Head, one: Signed) -> bool:
    """Whether the key `public` has signed this for the place behind `before`; one that is no key has signed nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(_decoded(public)).verify(_decoded(one.signature), _text(before, one.said))
    except (ValueError, InvalidSignature):
        return False
    return True


def public_key(seed: bytes) -> str:
    """The public key of a seed of 32 bytes, in base64url without padding."""
    return _encoded(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def _text(before: Head, said: bytes) -> bytes:
    place = "\n".join((CHECKPOINT, before.writer, str(before.seq + 1), before.hash, ""))
    return place.encode() + said


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    value = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(value) != text:
        raise ValueError("another spelling")
    return value
