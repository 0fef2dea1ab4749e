"""Tables of records on their way into a file: CSV (RFC 4180), JSON Lines, Parquet.

The rules: a table is written row by row, so any number of them fits into memory; and no cell of a CSV begins like a
formula, which a spreadsheet would work out for whoever made the request, however it separates cells.
"""

import csv
import json
import re
from collections.abc import Mapping
from io import TextIOWrapper
from typing import IO, Final, Protocol

from extauthz.history.table import COLUMNS, Value
from extauthz.record.instants import rfc3339

# Spreadsheets separate by what their country does, whatever is in quotes, and some read wide characters as the others.
_FORMULA: Final = re.compile(r"(?:\A|(?<=[;\t\r\n]))(?=[=+\-@＝＋－＠\t\r\n])")  # noqa: RUF001 - they are meant


class Export(Protocol):
    """A file that takes rows."""

    def add(self, row: Mapping[str, Value]) -> None:
        """Add a row, by column."""

    def close(self) -> None:
        """Write what waits; the file stays open."""


class CsvExport:
    """A CSV in UTF-8 with a line of names; lists are JSON. Implements `Export`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._rows = csv.writer(self._text)
        self._rows.writerow([name for name, _ in COLUMNS])

    def add(self, row: Mapping[str, Value]) -> None:
        self._rows.writerow([_cell(name, row.get(name)) for name, _ in COLUMNS])

    def close(self) -> None:
        self._text.detach()


class JsonLinesExport:
    """One JSON object a line, without what is null; `record` is the object itself. Implements `Export`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, row: Mapping[str, Value]) -> None:
        found: dict[str, object] = {name: row[name] for name, _ in COLUMNS if row.get(name) not in (None, [])}
        found["time"] = _moment(row["time"])
        found["record"] = json.loads(str(row["record"]))
        self._file.write(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        self._file.flush()


def _cell(name: str, value: Value) -> str:
    match value:
        case None | []:
            return ""
        case list():
            return _json(json.dumps(value, ensure_ascii=False))
        case bool():
            return str(value).lower()
        case str():
            return _json(value) if name == "record" else _FORMULA.sub("'", value)
        case _:
            return _moment(value) if name == "time" else repr(value)


def _json(text: str) -> str:
    """JSON in which no reader finds the beginning of another cell."""
    return text.replace(";", "\\u003b")


def _moment(value: Value) -> str:
    return rfc3339(value) if isinstance(value, int) else ""
