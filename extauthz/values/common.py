"""What the headers of several requests have in common."""

from typing import Final


class Common:
    """What all headers have in common that were read as one: but for the lines at the `varying` places they are the
    same, line by line and under the same names.

    `caller` is for whoever knows callers by them to note the last one, and `line` for whoever writes audit lines to
    note what such headers are like there; both go with them.
    """

    def __init__(self, varying: frozenset[int]) -> None:
        self.varying: Final = varying
        self.caller: object = None
        self.line: object = None

    def __reduce__(self) -> tuple[object, ...]:
        """It travels as if nobody had noted anything."""
        return Common, (self.varying,)
