"""Puts lines into the chain that `chain` describes. Apart from it, for each line takes this way and it is compiled.

The rule kept here: no line is copied. It is written in two pieces, itself and its end.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

PIECES: Final = 2
"""Of each line that is written."""
_HASH: Final = b',"hash":"'
_END: Final = b'"}\n'
_NOTHING: Final = sha256()
"""A copy of it takes less than a new one."""


def chained_behind(writer: str, seq: int, before: str, lines: Sequence[bytes]) -> list[bytes]:
    """What is written behind the line with this number and hash: each of these and its end, one after the other."""
    place = f',"writer":"{writer}","seq":'.encode()
    last = before.encode()
    pieces: list[bytes] = []
    for line in lines:
        seq += 1
        end = place + str(seq).encode()
        hashing = _NOTHING.copy()
        hashing.update(last)
        hashing.update(line)
        hashing.update(end)
        last = hashing.hexdigest().encode()
        pieces.append(line)
        pieces.append(end + _HASH + last + _END)
    return pieces


def hash_at(end: bytes) -> str:
    """The hash that the end of a line tells."""
    return end[-len(_END) - 64 : -len(_END)].decode("ascii")
