"""Strings: the standard functions (langdef, "Standard Definitions") and the strings extension."""

from collections.abc import Sequence
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.library.formats import formatter
from extauthz.cel.library.regexes import searcher
from extauthz.cel.limits import Limits
from extauthz.cel.types import BOOL, INT, LIST_OF_DYN, STRING, ListType
from extauthz.values.quoting import given

WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What `trim` takes away: the characters that Unicode calls White_Space."""
_QUOTED: Final = (
    ("\\", "\\\\"), ('"', '\\"'), ("\a", "\\a"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"), ("\r", "\\r"),
    ("\t", "\\t"), ("\v", "\\v"),
)  # fmt: skip
"""The backslash first: the others are written with one."""


def starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def contains(text: str, part: str) -> bool:
    return part in text


def char_at(text: str, index: int) -> str:
    """The character at an index, or "" at the end of the text."""
    if not 0 <= index <= len(text):
        raise EvalError(f"index out of range: {given(str(index))}")
    return text[index : index + 1]


def index_of(text: str, part: str) -> int:
    return text.find(part)


def index_of_from(text: str, part: str, start: int) -> int:
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {given(str(start))}")
    return text.find(part, start)


def last_index_of(text: str, part: str) -> int:
    # Not `rfind`, which compares the whole part at every place: what searches forward is linear.
    found = text[::-1].find(part[::-1])
    return found if found < 0 else len(text) - len(part) - found


def last_index_of_to(text: str, part: str, last: int) -> int:
    """Where the part begins last, at `last` or before."""
    if not 0 <= last <= len(text):
        raise EvalError(f"index out of range: {given(str(last))}")
    return last_index_of(text[: last + len(part)], part)


def lower_ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Of bytes only ASCII letters have a lower case.
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def upper_ascii(text: str) -> str:
    if text.isascii():
        return text.upper()
    return text.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")


def reverse(text: str) -> str:
    return text[::-1]


def substring(text: str, start: int) -> str:
    return substring_to(text, start, len(text))


def substring_to(text: str, start: int, end: int) -> str:
    if not 0 <= start <= len(text) or not 0 <= end <= len(text):
        raise EvalError(f"index out of range: {given(str(start if not 0 <= start <= len(text) else end))}")
    if start > end:
        raise EvalError(f"invalid range: {given(str(start))} is behind {given(str(end))}")
    return text[start:end]


def trim(text: str) -> str:
    return text.strip(WHITE_SPACE)


class _Growing:
    """The functions whose result may be longer than their arguments, within limits."""

    def __init__(self, limits: Limits) -> None:
        self._string_length = limits.string_length
        self._list_length = limits.list_length

    def _check(self, length: int) -> None:
        if length > self._string_length:
            raise EvalError("the string is longer than the limits allow")

    def join(self, parts: Sequence[str]) -> str:
        return self.join_with(parts, "")

    def join_with(self, parts: Sequence[str], separator: str) -> str:
        self._check(sum(map(len, parts)) + len(separator) * len(parts))
        return separator.join(parts)

    def replace_all(self, text: str, old: str, new: str) -> str:
        return self.replace(text, old, new, -1)

    def replace(self, text: str, old: str, new: str, count: int) -> str:
        """The first `count` places replaced; all for a negative count."""
        found = text.count(old)
        made = found if count < 0 else min(found, count)
        self._check(len(text) + made * (len(new) - len(old)))
        return text.replace(old, new, made)

    def split_all(self, text: str, separator: str) -> list[str]:
        return self.split(text, separator, -1)

    def split(self, text: str, separator: str, count: int) -> list[str]:
        """At most `count` parts, the last holding the rest; all for a negative count."""
        if count == 0:
            return []
        parts = len(text) if not separator else text.count(separator) + 1
        if (parts if count < 0 else min(parts, count)) > self._list_length:
            raise EvalError("the list is longer than the limits allow")
        if separator:
            return text.split(separator, count - 1 if count > 0 else -1)
        if count < 0 or count >= len(text):
            return list(text)
        return [*text[: count - 1], text[count - 1 :]]

    def quote(self, text: str) -> str:
        """The text between double quotes, safe to print."""
        self._check(2 * len(text) + 2)
        for character, written in _QUOTED:
            text = text.replace(character, written)
        return f'"{text}"'


def functions(limits: Limits) -> list[Function]:
    """The functions on strings; `limits` bound what they build."""
    growing = _Growing(limits)
    strings = ListType(STRING)
    return [
        _method("startsWith", Overload("starts_with_string", (STRING, STRING), BOOL, starts_with, True, total=True)),
        _method("endsWith", Overload("ends_with_string", (STRING, STRING), BOOL, ends_with, True, total=True)),
        _method("contains", Overload("contains_string", (STRING, STRING), BOOL, contains, True, total=True)),
        _method(
            "matches",
            Overload("matches", (STRING, STRING), BOOL, searcher(limits)),
            Overload("matches_string", (STRING, STRING), BOOL, searcher(limits), True),
        ),
        _method("charAt", Overload("char_at", (STRING, INT), STRING, char_at, True)),
        _method("format", Overload("format", (STRING, LIST_OF_DYN), STRING, formatter(limits), True)),
        _method(
            "indexOf",
            Overload("index_of", (STRING, STRING), INT, index_of, True, total=True),
            Overload("index_of_from", (STRING, STRING, INT), INT, index_of_from, True),
        ),
        _method(
            "lastIndexOf",
            Overload("last_index_of", (STRING, STRING), INT, last_index_of, True, total=True),
            Overload("last_index_of_to", (STRING, STRING, INT), INT, last_index_of_to, True),
        ),
        _method(
            "join",
            Overload("join", (strings,), STRING, growing.join, True),
            Overload("join_with", (strings, STRING), STRING, growing.join_with, True),
        ),
        _method("lowerAscii", Overload("lower_ascii", (STRING,), STRING, lower_ascii, True, total=True)),
        _method("upperAscii", Overload("upper_ascii", (STRING,), STRING, upper_ascii, True, total=True)),
        _method("reverse", Overload("reverse", (STRING,), STRING, reverse, True, total=True)),
        _method(
            "replace",
            Overload("replace", (STRING, STRING, STRING), STRING, growing.replace_all, True),
            Overload("replace_count", (STRING, STRING, STRING, INT), STRING, growing.replace, True),
        ),
        _method(
            "split",
            Overload("split", (STRING, STRING), strings, growing.split_all, True),
            Overload("split_count", (STRING, STRING, INT), strings, growing.split, True),
        ),
        _method(
            "substring",
            Overload("substring", (STRING, INT), STRING, substring, True),
            Overload("substring_to", (STRING, INT, INT), STRING, substring_to, True),
        ),
        _method("trim", Overload("trim", (STRING,), STRING, trim, True, total=True)),
        Function("strings.quote", [Overload("quote", (STRING,), STRING, growing.quote)]),
    ]


def _method(name: str, *overloads: Overload) -> Function:
    return Function(name, overloads)
