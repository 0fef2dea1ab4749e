"""The values of literals: numbers, and the escapes of strings and bytes (langdef, "String and Bytes Values")."""

import re
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\?\"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_SIMPLE: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip


class BadLiteral(ValueError):
    """A literal without a value; `start` and `end` are offsets in its text."""

    def __init__(self, message: str, start: int, end: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.start = start
        self.end = end
        self.hint = hint


class Unsigned(int):
    """An integer literal with a `u`, of any size; the parser checks its range."""


def number_value(text: str) -> "int | Unsigned | float":
    """The value of a number's text, of any size and without its sign."""
    if text[:2] in ("0x", "0X"):
        if text[-1] in "uU":
            return Unsigned(int(text[:-1], 16))
        return int(text, 16)
    if text[-1] in "uU":
        return Unsigned(_decimal(text[:-1]))
    if text.isdecimal():
        return _decimal(text)
    return float(text)


def _decimal(digits: str) -> int:
    # More than 20 digits are out of any range, and Python refuses to read thousands of them.
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 20 else 10**20


def string_value(body: str, raw: bool) -> str:
    """The value of the text between a string's quotes; an escape stands for a code point."""
    if raw or "\\" not in body:
        return body
    pieces: list[str] = []
    for piece, match in _pieces(body):
        pieces.append(piece)
        if match is not None:
            pieces.append(_code_point(match))
    return "".join(pieces)


def bytes_value(body: str, raw: bool) -> bytes:
    """The value of the text between quotes of bytes: its UTF-8, in which an escape stands for one byte."""
    if raw or "\\" not in body:
        return body.encode()
    value = bytearray()
    for piece, match in _pieces(body):
        value += piece.encode()
        if match is None:
            continue
        if match["short"] or match["long"]:
            raise BadLiteral(
                f"`{match[0]}` stands for a character, not a byte", match.start(), match.end(), "write `\\x` escapes"
            )
        value.append(ord(_code_point(match)))
    return bytes(value)


def _pieces(body: str) -> "list[tuple[str, re.Match[str] | None]]":
    """The runs of plain text, each with the escape that follows it."""
    pieces: list[tuple[str, re.Match[str] | None]] = []
    position = 0
    while (backslash := body.find("\\", position)) >= 0:
        match = _ESCAPE.match(body, backslash)
        if match is None:
            shown = body[backslash : backslash + 2]
            hint = "write `\\\\` for a backslash, or a raw string r'…'"
            raise BadLiteral(f"unknown escape `{shown}`", backslash, backslash + 2, hint)
        pieces.append((body[position:backslash], match))
        position = match.end()
    pieces.append((body[position:], None))
    return pieces


def _code_point(match: re.Match[str]) -> str:
    if simple := match["simple"]:
        return _SIMPLE[simple]
    if octal := match["octal"]:
        return chr(int(octal, 8))
    number = int(match["hex"] or match["short"] or match["long"], 16)
    if 0xD800 <= number <= 0xDFFF or number > 0x10FFFF:
        raise BadLiteral(f"`{match[0]}` is no character of Unicode", match.start(), match.end())
    return chr(number)
