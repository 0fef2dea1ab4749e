"""Which files an audit is in: the one that is written, and those that it was moved to.

The rule kept here: a file is looked at once, whatever names it was given by.
"""

import re
from collections.abc import Iterable, Iterator
from glob import escape
from pathlib import Path
from typing import Final

from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.history.reading import time_in
from extauthz.record.file_lines import lines_in
from extauthz.record.instants import rfc3339
from extauthz.record.rotation import rotated

_NUMBER: Final = re.compile(r"\.[0-9]{1,9}")


def written_by(path: Path) -> list[Path]:
    """The file of this name, and those beside it that a rotation has made of it, ours or one that counts (`.1`).

    Raises:
        ExtauthzError: there is none.
    """
    moved = [file for _, file in rotated(path)] if path.parent.is_dir() else []
    numbered = [one for one in path.parent.glob(f"{escape(path.name)}.[0-9]*") if _NUMBER.fullmatch(one.suffix)]
    found = [*sorted(numbered, key=lambda one: -int(one.suffix[1:])), *moved, *([path] if path.exists() else [])]
    if not found:
        raise ExtauthzError(f"{path}: there is no audit file; `audit.path` names it")
    return found


def each_once(paths: Iterable[Path]) -> list[Path]:
    """These files, each once.

    Raises:
        ExtauthzError: one can't be found.
    """
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error
        found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def in_turn(paths: Iterable[Path]) -> list[Path]:
    """These files, each once, by the time of the first line; what has none comes last.

    Raises:
        ExtauthzError: one can't be read.
    """
    return sorted(each_once(paths), key=lambda path: (_first_time(path) or b"\xff", path.name))


def last_written(path: Path) -> bytes:
    """When the file was last written to, as lines have times: no record in it is of later.

    Raises:
        ExtauthzError: it can't be looked at.
    """
    try:
        return rfc3339(path.stat().st_mtime_ns).encode()
    except OSError as error:
        raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error


def lines_of(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, without their ends.

    Raises:
        ExtauthzError: it can't be read.
    """
    try:
        with open_file(path) as file:
            for line in lines_in(file):
                if line.endswith(b"\n"):
                    yield line[:-1]
    except OSError as error:
        raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error


def _first_time(path: Path) -> bytes | None:
    try:
        with open_file(path) as file:
            return next((time for line in lines_in(file) if (time := time_in(line)) is not None), None)
    except OSError as error:
        raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error
