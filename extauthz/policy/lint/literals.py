"""Segments of paths that are written as another router has its placeholders, and are literals here.

The rule kept here: what services have for names is left alone: `v1.2`, `~home`, `@home`, `$metadata`, `x:cancel`,
`items(1)`, `c++`. `^`, `|`, `[`, `]`, `<` and `>` stand in no path of a URI, only their escapes do (RFC 3986 section
3.3).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.templates import parse

_NAME: Final = "[A-Za-z_][A-Za-z0-9_]{0,63}"
_COLON = re.compile(f":({_NAME})")
_ANGLES = re.compile(f"<(?:[^<>]*:)?({_NAME})>")
_ANCHORS = re.compile(r"\^?([^^$]*)\$?")
_EXPRESSION = re.compile(r"[\[\]|^<>]|[.)]\+|\$$|^\(.*\)$")

_PLACEHOLDER: Final = "write `*` or `{name}` for any one segment, or at the end `**` for any number"


def findings(rules: Iterable[Subject]) -> Iterator[Finding]:
    """The warnings of this kind."""
    for subject in rules:
        for number, text in enumerate(subject.model.paths or ()):
            for segment in dict.fromkeys(parse(text).segments):
                hint = None if segment is None else _instead(segment)
                if hint is not None:
                    yield subject.finding(
                        "literal-placeholder",
                        ("paths", number),
                        f"`{segment}` in `{text}` is a literal: only a segment that reads `{segment}` fits",
                        hint,
                        topic=f"{text} {segment}",
                    )


def _instead(segment: str) -> str | None:
    """What to write in place of a literal that another router would read as more; `None` for an ordinary one."""
    named = _COLON.match(segment) or _ANGLES.fullmatch(segment)
    if named is not None:
        return f"write `{{{named[1]}}}` for any one segment"
    if _EXPRESSION.search(segment) is None:
        return None
    bare = _ANCHORS.fullmatch(segment)
    if bare is not None and _EXPRESSION.search(bare[1]) is None:
        return "remove `^` and `$`: a template stands for the whole path"
    return _PLACEHOLDER
