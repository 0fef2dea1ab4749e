"""Sizes as settings write them: `100MB`, `512kB`, `2GB`; a thousand bytes are a kilobyte.

The rule: a size has a unit. A bare number is refused, so that none is ever taken for another unit.
"""

import re
from typing import Final

_UNITS: Final = {"kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
SIZE: Final = re.compile(r"([1-9][0-9]{0,8})(kB|MB|GB)")


def size_in_bytes(text: object) -> int:
    """The bytes of a size as it is written.

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    found = SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("not a size; write `100MB`, `512kB` or `2GB`")
    return int(found[1]) * _UNITS[found[2]]
