"""Puts lines into the chain that `chain` describes. Apart from it, for each line takes this way and it is compiled."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

_HASH: Final = b',"hash":"'
_END: Final = b'"}\n'


def chained_behind(writer: str, seq: int, before: str, lines: Iterable[bytes]) -> tuple[list[bytes], list[str]]:
    """The lines as they are written behind the one with this number and hash, each with its end; and their hashes."""
    place = f',"writer":"{writer}","seq":'
    last = before.encode()
    out: list[bytes] = []
    hashes: list[str] = []
    for line in lines:
        seq += 1
        end = (place + str(seq)).encode()
        hashed = sha256(b"".join([last, line, end])).hexdigest()
        last = hashed.encode()
        out.append(b"".join([line, end, _HASH, last, _END]))
        hashes.append(hashed)
    return out, hashes
