"""Whether a rotated file is the one that its name says: its end tells under which name it was moved away.

The rule kept here: a name proves nothing, since whoever can write into the folder gives names; where there are keys,
the signature of one of them does.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from extauthz.record.chain import Head, hash_of, is_signed, link_of, signed_of

TAIL: Final = 1 << 20
"""Bytes at the end within which a file tells its name: others that write to it finish what they are at behind that."""
_ROTATED: Final = b'\n{"v":1,"event":"audit.rotated"'


class _Name(msgspec.Struct):
    """What `audit.rotated` tells."""

    file: str
    before: str
    key: str = ""


class _NameLine(msgspec.Struct):
    details: _Name


def is_sealed(path: Path, publics: Mapping[str, str] | None) -> bool:
    """Whether the file ends with an `audit.rotated` with its own name, signed by one of these keys, which are there by
    id; with `None` there are no keys, and it needs no signature. What can't be read is not."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            _, found, rest = file.read(TAIL).rpartition(_ROTATED)
    except OSError:
        return False
    line = (found + rest).strip(b"\n").partition(b"\n")[0]
    link = link_of(line)
    if link is None:
        return False
    try:
        told = msgspec.json.decode(line, type=_NameLine).details
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if told.file != path.name or not told.before.isascii() or hash_of(told.before, link.body) != link.hash:
        return False
    if publics is None:
        return True
    one = signed_of(link)
    before = Head(link.writer, link.seq - 1, told.before)
    return one is not None and is_signed(publics.get(told.key, ""), before, one)
