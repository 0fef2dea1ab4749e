"""Tables of records as Parquet, by `pyarrow`, which is an extra.

The rule kept here: rows are written in groups of a bounded number, so any number of them fits into memory.
"""

from collections.abc import Mapping
from typing import IO, Any, Final

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from extauthz.history.table import COLUMNS, Kind, Value

GROUP: Final = 20_000
"""Rows of a group."""

_TYPES: Final[Mapping[Kind, Any]] = {
    "moment": pa.timestamp("ns", tz="UTC"),
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "whole": pa.int64(),
    "real": pa.float64(),
    "flag": pa.bool_(),
}
SCHEMA: Final = pa.schema([(name, _TYPES[kind]) for name, kind in COLUMNS])


class ParquetExport:
    """A Parquet file, compressed by Zstandard. Implements `exports.Export`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = ParquetWriter(file, SCHEMA, compression="zstd")
        self._rows: list[Mapping[str, Value]] = []

    def add(self, row: Mapping[str, Value]) -> None:
        self._rows.append(row)
        if len(self._rows) >= GROUP:
            self._write()

    def close(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        if self._rows:
            columns = [[row.get(name) for row in self._rows] for name, _ in COLUMNS]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
            self._rows = []
