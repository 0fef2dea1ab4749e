"""What the headers of several requests have in common."""

from typing import Final


class Common:
    """What all headers have in common that were read as one: but for the lines at the `varying` places they are the
    same, line by line and under the same names. `in_order` are these places from the first to the last; `is_telling` is
    whether one of the headers may say something of other fields of the request.

    `caller` is for whoever knows callers by them to note the last one, and `line` for whoever writes audit lines to
    note what such headers are like there; both go with them.
    """

    def __init__(self, varying: frozenset[int], is_telling: bool = False) -> None:
        self.varying: Final = varying
        self.is_telling: Final = is_telling
        self.in_order: Final[list[int]] = sorted(varying)
        self._turns: Final[list[int]] = [-1] * (max(varying, default=-1) + 1)
        for turn, place in enumerate(self.in_order):
            self._turns[place] = turn
        self.caller: object = None
        self.line: object = None

    def __reduce__(self) -> tuple[object, ...]:
        """It travels as if nobody had noted anything."""
        return Common, (self.varying, self.is_telling)

    def turn(self, place: int) -> int:
        """Which of those that vary the line at this place is, from 0 on; -1 for one that is always the same."""
        turns = self._turns
        return turns[place] if place < len(turns) else -1
