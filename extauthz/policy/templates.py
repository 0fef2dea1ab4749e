"""Path templates: `/v1/accounts/{account}/**` (design section 3, `paths`).

    template = "/" [ segment *( "/" segment ) ] [ "/" ]
    segment  = literal | "*" | "{name}" | "**" | "{name=**}"      the last two only at the end

A literal is decoded text, as the canonical path holds it. The rule kept here: what could be read in two ways is
refused when it is loaded.
"""

import re
from typing import NamedTuple

import msgspec

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})(=\*\*)?\}")


class Template(msgspec.Struct, frozen=True):
    """A template in parts.

    `segments` holds a literal, or `None` for one segment that is not empty; `names` the captures by position; `tail`
    is whether any number of segments may follow, under the name `tail_name` if it has one.
    """

    segments: tuple[str | None, ...]
    names: tuple[tuple[int, str], ...] = ()
    tail: bool = False
    tail_name: str | None = None

    def __str__(self) -> str:
        names = dict(self.names)
        parts = [
            segment if segment is not None else f"{{{names[position]}}}" if position in names else "*"
            for position, segment in enumerate(self.segments)
        ]
        if self.tail:
            parts.append("**" if self.tail_name is None else f"{{{self.tail_name}=**}}")
        return "/" + "/".join(parts)

    def fitting(self, segments: tuple[str, ...]) -> int:
        """How many of a path's segments, from the first, are as this wants them."""
        for position, (want, have) in enumerate(zip(self.segments, segments, strict=False)):
            if not have if want is None else have != want:
                return position
        return min(len(self.segments), len(segments))

    def fits(self, segments: tuple[str, ...]) -> bool:
        """Whether a path of these segments is one of those that this stands for."""
        want = len(self.segments)
        long_enough = len(segments) >= want if self.tail else len(segments) == want
        return long_enough and self.fitting(segments) == want

    @property
    def capture_names(self) -> frozenset[str]:
        """The names under which a match is found in `request.params`."""
        tail = () if self.tail_name is None else (self.tail_name,)
        return frozenset((*(name for _, name in self.names), *tail))

    @property
    def capture(self) -> "Capture | None":
        """How what is captured is read from a path that fits; `None` if nothing is."""
        if not self.capture_names:
            return None
        return Capture(self.names, self.tail_name, 0 if self.tail_name is None else len(self.segments))


class Capture(NamedTuple):
    """Which segments of a path have which names, and from where on they have the one of the tail together."""

    names: tuple[tuple[int, str], ...]
    tail_name: str | None
    tail_at: int


def parse(text: str) -> Template:
    """The template that `text` writes. Raises `ValueError` with what is wrong and how to mend it."""
    if not text.startswith("/"):
        raise ValueError(f"the template `{text}` does not start with `/`; write `/{text.lstrip('^/')}`")
    bad = next((c for c in text if c in "%?#\\" or c < " " or c == "\x7f"), None)
    if bad is not None:
        raise ValueError(
            f"`{bad}` never occurs in a canonical path; write the decoded path, without query and fragment"
        )
    written = text[1:].removesuffix("/").split("/") if text != "/" else []
    segments: list[str | None] = []
    names: list[tuple[int, str]] = []
    for position, part in enumerate(written):
        capture = _CAPTURE.fullmatch(part)
        if part == "**" or (capture is not None and capture[2]):
            if position != len(written) - 1:
                raise ValueError(f"`{part}` stands before the end of `{text}`; `**` is only for the last segment")
            template = Template(tuple(segments), tuple(names), tail=True, tail_name=capture and capture[1])
            return _distinct(template, text)
        if capture is not None:
            names.append((position, capture[1]))
        segments.append(None if part == "*" or capture is not None else _literal(part, text))
    return _distinct(Template(tuple(segments), tuple(names)), text)


def _literal(part: str, text: str) -> str:
    if part in ("", ".", ".."):
        raise ValueError(f"the template `{text}` has a segment `{part}`, which no canonical path has; remove it")
    if any(c in "*{}" for c in part):
        raise ValueError(
            f"`{part}` in `{text}` is neither a literal nor a wildcard; a segment is one or the other: `*`, "
            "`{name}`, `**` or `{name=**}`"
        )
    return part


def _distinct(template: Template, text: str) -> Template:
    if len(template.capture_names) != len(template.names) + (template.tail_name is not None):
        raise ValueError(f"the template `{text}` captures one name twice; rename one")
    return template
