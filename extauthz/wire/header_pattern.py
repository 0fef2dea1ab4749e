"""A map of header lines that is laid out as those before it on its connection: some values differ, and nothing else.

The rule: what is read here is what `header_entries.read` makes of the same bytes (held by tests). Values are taken from
where they would be, and the map is written anew around them: if that is what came, byte for byte, they are it. What
else came is read there, and so is what has to be looked at.
"""

from collections.abc import Sequence
from typing import Final

from extauthz.values.common import Common
from extauthz.values.headers import Headers, OneLineEach, text_of
from extauthz.values.native import i64
from extauthz.wire.fragments import field
from extauthz.wire.headers import LARGEST, TELLING, is_joined
from extauthz.wire.spans import span

_LINE: Final = 1
"""The number of the field that is an entry of the map."""
_LF: Final = 0x0A
_CR: Final = 0x0D
_NUL: Final = 0x00


class Varying:
    """An entry whose value differs from request to request.

    `head` is what it begins with, before the length of its value. `place` is that of its line, or -1 for a pseudo
    header; `single` is the name of one that must be single, else empty.
    """

    __slots__ = ("head", "place", "single")

    def __init__(self, head: bytes, place: int, single: str) -> None:
        self.head = head
        self.place = place
        self.single = single


class _Gap:
    """Where the value of such an entry is in the map.

    `opening` is what comes before the value since the last gap, where that is as long as it was in the request that the
    pattern is of, `size`; `before_size` is how much of it comes before the length of the entry. `turn` is which of the
    lines that vary it is, or -1 for a pseudo header.
    """

    __slots__ = ("before_size", "head", "head_size", "opening", "opening_size", "single", "size", "turn")

    def __init__(self, opening: bytes, before_size: i64, entry: Varying, size: i64, turn: i64) -> None:
        # First what each request takes: that is together in memory then.
        self.opening = opening
        self.opening_size: i64 = len(opening)
        self.size = size
        self.turn = turn
        self.single = entry.single
        self.head = entry.head
        self.head_size: i64 = len(entry.head)
        self.before_size = before_size

    def of_another_size(self, content: bytes, at: i64) -> tuple[i64, i64]:
        """Where the value begins and ends if the entry is there, with what comes before it; else an end behind the
        content. Raises `IndexError` if it is cut off.
        """
        tag = at + self.before_size - 1
        entry, entry_end = span(content, tag)
        before_length = entry + self.head_size - 1
        start, end = span(content, before_length)
        if (
            end == entry_end
            and content[at : tag + 1] == self.opening[: self.before_size]
            and content[entry : before_length + 1] == self.head
        ):
            return start, end
        return start, len(content) + 1


class Pattern:
    """What maps of lines have in common: all but some values. `count` is how many entries they have."""

    __slots__ = ("_behind", "_blank", "_common", "_foldable", "_gaps", "_lines", "_places", "count")

    def __init__(self, entries: Sequence[bytes], varying: Sequence[Varying | None], headers: OneLineEach) -> None:
        """Of one whose entries are laid out as every writer does; of what varies nothing is kept but its length."""
        places = frozenset([entry.place for entry in varying if entry is not None and entry.place >= 0])
        self._common = Common(places, not TELLING.isdisjoint(headers.places))
        self._gaps: list[_Gap] = []
        same = b""
        for entry, varies in zip(entries, varying, strict=True):
            line = field(_LINE, entry)
            if varies is None:
                same += line
                continue
            size = len(entry) - span(entry, len(varies.head) - 1)[0]
            opening, turn = (same + line)[: len(same) + len(line) - size], -1
            if varies.place >= 0:
                turn = self._common.turn(varies.place)
            self._gaps.append(_Gap(opening, len(same) + 1, varies, size, turn))
            same = b""
        self._behind = same
        self._places, self._foldable = headers.places, headers.foldable
        self._lines = headers.lines
        self._blank = [b""] * len(self._common.in_order)
        self.count = len(entries)

    def headers_in(self, content: bytes, at: i64, end: i64) -> OneLineEach | None:
        """The headers of the map that is the content from there to the end.

        `None` of a map that is laid out in another way, or that is refused. Raises `IndexError` if it is cut off.
        """
        if end - at > LARGEST:
            return None
        differing = self._blank.copy()
        for gap in self._gaps:
            start = at + gap.opening_size
            if content[at:start] == gap.opening:
                at = start + gap.size
            else:
                start, at = gap.of_another_size(content, at)
            if at > end:
                return None
            if gap.turn >= 0:
                value = content[start:at]
                if gap.single and is_joined(gap.single, text_of(value)):
                    return None
                differing[gap.turn] = value
        if content[at:end] != self._behind:
            return None
        said = b"".join(differing)
        if _LF in said or _CR in said or _NUL in said:
            return None
        return OneLineEach(self._places, self._lines, self._foldable, self._common, differing)


def is_telling(headers: Headers) -> bool:
    """Whether one of the headers may say something of other fields."""
    common = headers.common if isinstance(headers, OneLineEach) else None
    return common is None or common.is_telling
