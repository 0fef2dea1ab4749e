"""How the lines of an audit hang together: the hash of each, and the signatures in between. No I/O here.

Each process that writes is a writer with a chain of its own, so lines of several writers may stand in one file. A line
ends with `,"writer":"…","seq":N,"hash":"…"}`: the writer's name, the number of the line among its own, from 1, and the
hash that takes in every byte before `,"hash"` and the hash of the writer's line before. So nothing can be changed, left
out or put in between without another hash in every later line; and a checkpoint signs the hash before it.

The rule kept here: what is written here has one spelling, so whoever reads compares texts and needs no tolerance.
"""

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

OPENING: Final = b"extauthz audit v1\n"
"""What the hash before a writer's first line is of, followed by the writer's name."""
CHECKPOINT: Final = b"extauthz audit checkpoint v1"
"""The first line of what a checkpoint signs."""
WRITER_BYTES: Final = 8
"""Random bytes of a writer's name, which is them in hex."""

_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_SUFFIX: Final = re.compile(rb',"writer":"([0-9a-f]{16})","seq":([1-9][0-9]{0,17}),"hash":"([A-Za-z0-9_-]{43})"\}\Z')


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a writer's chain: the number of its last line, 0 before there is one, and the digest of it."""

    writer: str
    seq: int
    digest: bytes

    @property
    def hash(self) -> str:
        """The digest as lines have it: base64url without padding (RFC 4648 section 5)."""
        return hash_text(self.digest)


@dataclass(frozen=True, slots=True)
class Link:
    """What a line says of its place in a chain; `body` are the bytes that its hash takes in beside the hash before."""

    body: bytes
    writer: str
    seq: int
    hash: str


def beginning(writer: str) -> Head:
    """The chain of a writer before its first line. `writer` are WRITER_BYTES in lower-case hex."""
    return Head(writer, 0, sha256(OPENING + writer.encode("ascii")).digest())


def digest_of(previous: bytes, body: bytes) -> bytes:
    """The digest of a line: of the digest before it and of its bytes up to `,"hash"` (SHA-256, FIPS 180-4)."""
    return sha256(previous + body).digest()


def hash_text(digest: bytes) -> str:
    """A digest of 32 bytes in base64url without padding: 43 characters."""
    return _encoded(digest).decode("ascii")


def chained(head: Head, lines: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The lines as they are written, each with its end, and the digest of each of them.

    `lines` are JSON objects with a field at least, without the closing brace.
    """
    writer, seq, digest = head.writer, head.seq, head.digest
    place = f',"writer":"{writer}","seq":'.encode("ascii")
    out, digests = [], []
    for line in lines:
        seq += 1
        body = b"%b%b%d" % (line, place, seq)
        digest = sha256(digest + body).digest()
        out.append(b'%b,"hash":"%b"}\n' % (body, _encoded(digest)))
        digests.append(digest)
    return out, digests


def after(head: Head, digests: Sequence[bytes]) -> Head:
    """The head behind further lines, of which these are the digests."""
    return Head(head.writer, head.seq + len(digests), digests[-1]) if digests else head


def link_of(line: bytes) -> Link | None:
    """Where a line, without its newline, says that it stands; `None` if it says nothing, as lines of older versions."""
    found = _SUFFIX.search(line, max(len(line) - 128, 0))
    if found is None:
        return None
    body = line[: found.start(3) - len(b',"hash":"')]
    return Link(body, found[1].decode("ascii"), int(found[2]), found[3].decode("ascii"))


def checkpoint_text(before: Head, time: str) -> bytes:
    """What the checkpoint behind `before` signs; `time` is its own, as its line has it."""
    return b"\n".join(
        (CHECKPOINT, before.writer.encode("ascii"), b"%d" % (before.seq + 1), _encoded(before.digest), time.encode())
    )


def sign(seed: bytes, text: bytes) -> str:
    """The signature of a text by the key of this seed (Ed25519, RFC 8032 section 5.1), in base64url without padding."""
    return _encoded(Ed25519PrivateKey.from_private_bytes(seed).sign(text)).decode("ascii")


def public_key(seed: bytes) -> str:
    """The public key of a seed of 32 bytes, in base64url without padding."""
    return _encoded(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()).decode("ascii")


def is_signed(public: str, signature: str, text: bytes) -> bool:
    """Whether the key `public` has signed this text; what is no key or no signature has not."""
    try:
        key = Ed25519PublicKey.from_public_bytes(_decoded(public))
        key.verify(_decoded(signature), text)
    except (ValueError, InvalidSignature):
        return False
    return True


def _encoded(value: bytes) -> bytes:
    return b2a_base64(value, newline=False).rstrip(b"=").translate(_URLSAFE)


def _decoded(text: str) -> bytes:
    value = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(value).decode("ascii") != text:
        raise ValueError("another spelling")
    return value
