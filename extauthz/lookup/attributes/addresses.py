"""URLs with places for what is asked: `https://crm.example.com/v1/customers/{customer}?tenant={tenant}`.

The rule: what comes with a request chooses neither whom we ask nor which of their resources, beyond the one segment or
the one parameter that is its place. So scheme and host have no places, and what a server could read as more than one
segment stands in none.
"""

import re
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import quote

import msgspec

from extauthz.values.url import fetch_url

_PLACE: Final = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
_AUTHORITY: Final = re.compile(r"[A-Za-z]+://[^/?{}]+")
# What servers and proxies split, undo or cut off, some of them after they have decoded the path once or twice.
_UNSAFE_IN_A_PATH: Final = re.compile(r"[/\\%;?#\x00-\x1f\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class NoPlace(ValueError):
    """What is asked can't stand where the URL has its place; the message names it, and holds none of it."""


class UrlTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A URL with places by name; `path_places` are in its path, the others in its query."""

    text: str
    path_places: frozenset[str]
    query_places: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: it is none; the message says what to write.
        """
        fetch_url(_PLACE.sub("x", text))
        authority = _AUTHORITY.match(text)
        if authority is None or text[authority.end() : authority.end() + 1] == "{":
            raise ValueError("scheme and host stand for themselves; `{…}` is for the path and the query")
        path, _, query = text[authority.end() :].partition("?")
        if any(mark in _PLACE.sub("", text) for mark in "{}"):
            raise ValueError("`{` and `}` are for places, written `{name}`")
        return cls(
            text=text,
            path_places=frozenset(_PLACE.findall(path)),
            query_places=frozenset(_PLACE.findall(query)),
        )

    @property
    def places(self) -> frozenset[str]:
        """All of them."""
        return self.path_places | self.query_places

    def filled(self, asked: Mapping[str, object]) -> str:
        """The URL with everything in its place.

        Raises:
            NoPlace: something can't stand there.
        """
        for name in self.path_places:
            value = _text(name, asked[name])
            if value in ("", ".", "..") or _UNSAFE_IN_A_PATH.search(value):
                raise NoPlace(f"`{name}` is no segment of a path")
        return _PLACE.sub(lambda place: quote(_text(place[1], asked[place[1]]), safe=""), self.text)


def _text(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str() if not _CONTROL.search(value):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise NoPlace(f"`{name}` is no text") from None
            return value
        case _:
            raise NoPlace(f"`{name}` is no text, whole number or bool that a URL can have")
