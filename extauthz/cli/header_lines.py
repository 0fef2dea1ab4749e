"""Headers that somebody asks with, from a file or a variable.

The rules: they may hold credentials, so they are never on the command line, where all users of the machine can read
them, and no message repeats what a line says.
"""

import os
from pathlib import Path
from typing import Final

import typer

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file
from extauthz.wire.headers import NAME

_LARGEST: Final = 65_536
"""Bytes of all of them: more than Envoy takes unless it is told to."""
_NOT_THEIRS: Final = frozenset({"host", "user-agent", "connection", "content-length", "transfer-encoding"})
"""Those that say to whom, by whom and how a request is sent."""

Headers = tuple[tuple[str, str], ...]


def headers_from(file: Path | None, *, variable: str) -> Headers:
    """The headers in the file, or else in this variable: `name: value` in each line. None if neither is there.

    Raises:
        ConfigurationError: the file can't be read.
        BadParameter: a line is no header, or one that is not to be said here.
    """
    if file is None:
        return _parsed(os.environ.get(variable, ""), variable)
    try:
        with open_file(file) as stream:
            content = stream.read(_LARGEST + 1)
        text = content.decode("ascii")
    except OSError as error:
        raise ConfigurationError(f"{file}: can't read the headers: {failure_of(error)}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: the headers are not ASCII text") from None
    return _parsed(text, str(file))


def _parsed(text: str, place: str) -> Headers:
    if len(text) > _LARGEST:
        raise _wrong(place, f"longer than {_LARGEST} characters")
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t\r")
        if not colon or NAME.match(name) is None:
            raise _wrong(f"{place}:{number}", "no header; write `name: value` in each line")
        if not value.isascii() or not value.replace("\t", " ").isprintable():
            raise _wrong(f"{place}:{number}", f"the value of `{name}` is not ASCII text")
        if name in _NOT_THEIRS:
            raise _wrong(f"{place}:{number}", f"`{name}` is said by what is asked, and by whom; remove it")
        found.append((name, value))
    return tuple(found)


def _wrong(place: str, what: str) -> typer.BadParameter:
    return typer.BadParameter(f"{place}: {what}", param_hint="--ask-headers")
