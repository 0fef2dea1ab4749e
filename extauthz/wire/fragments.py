"""Pieces of protobuf messages as bytes, put together without messages (the Protocol Buffers encoding guide).

The rule: what is written is what a message of the same fields serialises to, deterministically: fields in the order of
their numbers, entries of a map as the library orders them, lengths in as few bytes as they need. A decision's id is in
many answers the only thing that is new, so a fragment may have holes for it: it is then the pieces around them.
"""

from functools import lru_cache
from typing import Final

Holed = tuple[bytes, ...]
"""What stands between the holes: `id.join(pieces)` is the whole."""

_VALUE_OF_TEXT: Final = 3
_VALUE_OF_STRUCT: Final = 5
_LENGTH_DELIMITED: Final = 2


@lru_cache(maxsize=1024)
def head(number: int, length: int) -> bytes:
    """What comes before the content of a field of so many bytes."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def field(number: int, content: bytes) -> bytes:
    """A field that holds a message, text or bytes."""
    return head(number, len(content)) + content


def text(number: int, content: str) -> bytes:
    """A field that holds text."""
    return field(number, content.encode())


def together(*parts: Holed) -> Holed:
    """Fragments one behind the other."""
    joined = [b""]
    for first, *more in parts:
        joined[-1] += first
        joined += more
    return tuple(joined)


def within(number: int, pieces: Holed, size: int) -> Holed:
    """The fragment as the content of a field; `size` is how many bytes each hole takes."""
    return (head(number, length(pieces, size)) + pieces[0], *pieces[1:])


def length(pieces: Holed, size: int) -> int:
    """The bytes of a fragment whose holes take `size` each."""
    return sum(map(len, pieces)) + size * (len(pieces) - 1)


def text_entry(name: str, value: Holed, size: int) -> Holed:
    """An entry of a Struct's `fields` whose value is a string."""
    return _entry(name, within(_VALUE_OF_TEXT, value, size), size)


def struct_entry(name: str, fields: Holed, size: int) -> Holed:
    """An entry of a Struct's `fields` whose value is a Struct."""
    return _entry(name, within(_VALUE_OF_STRUCT, fields, size), size)


def _entry(name: str, value: Holed, size: int) -> Holed:
    # A map is a repeated message of key (1) and value (2); the one of a Struct has number 1.
    return within(1, together((text(1, name),), within(2, value, size)), size)
