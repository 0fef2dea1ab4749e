"""Routes from recorded paths: segments that vary become wildcards.

The rule kept here: a route is never wider than it must be to cover what was seen: one segment for one segment, never
`**`, and what looks like a word stays a word unless many stand in its place.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

MANY: Final = 10
"""Different words in one place from which on they are taken for values."""

_VALUE: Final = re.compile(
    r"[0-9]+"
    r"|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # UUID, RFC 9562
    r"|(?=.*[0-9])[0-9a-fA-F]{8,}"
    r"|(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_-]{16,}"
    r"|.*[@:,].*"
)
_NUMBERED: Final = re.compile(r"[A-Za-z]{1,8}[-_]?[0-9]+")
"""`acc-13` may be a value and `oauth2` a word: it is a value if another one stands in its place."""
_VERSION: Final = re.compile(r"v[0-9]{1,3}")
_UNSAYABLE: Final = re.compile(r"[*{}%?#\\\x00-\x1f\x7f]|^\.{0,2}$")
_WORD: Final = re.compile(r"[a-z_][a-z0-9_]*")

Path = tuple[str, ...]


def routes(paths: Iterable[Path]) -> Mapping[Path, str]:
    """The path template of every path, as `policy.templates` writes them; paths are canonical segments."""
    found: dict[Path, str] = {}
    _descend(set(paths), (), 0, found)
    return found


def _descend(paths: set[Path], template: tuple[str | None, ...], depth: int, found: dict[Path, str]) -> None:
    """Split the paths by their segment at `depth`; those that share a wildcard there go on together."""
    groups: dict[str | None, set[Path]] = defaultdict(set)
    here = {path[depth] for path in paths if len(path) > depth}
    several = sum(1 for segment in here if _is_numbered(segment)) > 1
    for path in paths:
        if len(path) == depth:
            found[path] = _written(template)
        else:
            segment = path[depth]
            is_value = _is_value(segment) or (several and _is_numbered(segment))
            groups[None if is_value else segment].add(path)
    if len(groups) > MANY:
        groups = {None: set().union(*groups.values())}
    for common, inner in groups.items():
        _descend(inner, (*template, common), depth + 1, found)


def _is_value(segment: str) -> bool:
    if _UNSAYABLE.search(segment):
        return True
    return _VALUE.fullmatch(segment) is not None


def _is_numbered(segment: str) -> bool:
    return _NUMBERED.fullmatch(segment) is not None and _VERSION.fullmatch(segment) is None


def _written(template: tuple[str | None, ...]) -> str:
    """The template; a wildcard is called after the word before it: `/accounts/{account}`."""
    parts: list[str] = []
    used: set[str] = set()
    for position, segment in enumerate(template):
        if segment is not None:
            parts.append(segment)
            continue
        name = _name(template[position - 1] if position else None)
        while name in used:
            name += "_"
        used.add(name)
        parts.append(f"{{{name}}}")
    return "/" + "/".join(parts)


def _name(before: str | None) -> str:
    word = (before or "").lower().replace("-", "_")
    if not _WORD.fullmatch(word) or len(word) > 40:
        return "id"
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s") or "id"
