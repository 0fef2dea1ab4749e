"""Where a path leads in all tries of its host at once, remembered as far as paths have been.

The rule: what is remembered is bounded, stays in its process, and changes nothing but what a look-up costs.
"""

from itertools import chain
from typing import Final

from extauthz.policy.trie import Entries, Node

_SLASH: Final = ord("/")


class Room:
    """How much may still be remembered."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __reduce__(self) -> tuple[object, ...]:
        return Room, (self.left,)


class Position:
    """Where a path is in all tries of its host at once, after some of its segments.

    `following` are the positions by segment: `None` where no path has gone on yet. `other` is the one for every segment
    that no template there names. `is_kept`: whoever comes there again finds this very one.

    To look for a segment of a new path its hash has to be worked out: so the `only` one that templates there name is
    compared, and where they name none nothing is looked for.
    """

    def __init__(
        self, nodes: tuple[Node, ...], covering: tuple[Entries, ...], room: Room, is_kept: bool = False
    ) -> None:
        """`covering` are the rules that cover everything from here on, by what came before."""
        self.is_kept = is_kept
        self._nodes = nodes
        self._covering = covering
        self._room = room
        self._other: Position | None = None
        literals = sum([len(node.literals) for node in nodes])
        self._names_any = literals > 0
        self._only = next(chain(*(node.literals for node in nodes))) if literals == 1 else None
        self._after_only: Position | None = None
        # An empty segment is none that a wildcard stands for.
        size = 2 + literals
        self._following: dict[str, Position | None] = (
            dict.fromkeys(chain(("",), *(node.literals for node in nodes))) if size <= room.left else {}
        )
        self.size = len(self._following)

    def __reduce__(self) -> tuple[object, ...]:
        """It travels as if no path had been there."""
        return Position, (self._nodes, self._covering, self._room, self.is_kept)

    def at(self, segments: tuple[str, ...]) -> "Position":
        """The position after these segments, or after those behind which nothing makes a difference."""
        position = self
        for segment in segments:
            following = position._known_after(segment)
            if following is None:
                following = position._after(segment)
                if following is None:
                    break
            position = following
        return position

    def _known_after(self, segment: str) -> "Position | None":
        """The position after one more segment, if a path has gone on there."""
        if segment and not self._names_any:
            return self._other
        if self._only is not None and segment == self._only:
            return self._after_only
        return self._following.get(segment, self._other)

    def _after(self, segment: str) -> "Position | None":
        """The position after one more segment, `None` if it makes no difference."""
        if not self._nodes:
            return None
        nodes = []
        for node in self._nodes:
            if (literal := node.literals.get(segment)) is not None:
                nodes.append(literal)
            if node.wildcard is not None and segment:
                nodes.append(node.wildcard)
        tails = [node.tails for node in self._nodes if node.tails is not None]
        position = Position(tuple(nodes), (*self._covering, *tails), self._room)
        if self.is_kept and self._following and self._room.left > 0:
            self._room.left -= 1 + len(position._following)
            position.is_kept = True
            if segment in self._following:
                self._following[segment] = position
                if segment == self._only:
                    self._after_only = position
            else:
                self._other = position
        return position

    def entries(self) -> list[Entries]:
        """The rules whose templates fit a path that ends here."""
        ends = [entries for node in self._nodes for entries in (node.ends, node.tails) if entries is not None]
        return [*self._covering, *ends]


class Start:
    """Where the paths of a host begin, and where those stand that are none, as in `OPTIONS *` and CONNECT."""

    def __init__(self, paths: Position, pathless: Position) -> None:
        self._paths = paths
        self._pathless = pathless

    def __reduce__(self) -> tuple[object, ...]:
        return Start, (self._paths, self._pathless)

    def position(self, path: str, segments: tuple[str, ...]) -> Position:
        """Where a path leads that has these segments."""
        return self._paths.at(segments) if path and ord(path[0]) == _SLASH else self._pathless
