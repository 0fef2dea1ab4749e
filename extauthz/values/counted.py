"""What a histogram has counted."""

import msgspec


class Counted(msgspec.Struct, frozen=True):
    """What a histogram has counted: `bounds` in seconds, how many were not longer than each of them, how many there
    were in all, and all their seconds together."""

    bounds: tuple[float, ...]
    up_to: tuple[int, ...]
    count: int
    seconds: float
