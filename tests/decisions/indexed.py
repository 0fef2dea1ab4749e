"""An audit of a hundred decisions and its index, and how a look-up is planned."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from decisions.recorded_days import decided

from extauthz.history.index import Found, Index
from extauthz.history.index_questions import (
    Wanted,
)
from extauthz.history.indexing import Indexer

HUNDRED = [decided(number) for number in range(100)]


class Place:
    """An audit and its index in one folder."""

    def __init__(self, folder: Path) -> None:
        self.audit = folder / "audit.jsonl"
        self.index = folder / "audit.sqlite"

    def fill(self) -> "Place":
        """Take all that there is."""
        with Indexer(self.audit, self.index) as indexer:
            while indexer.step():
                pass
            while indexer.step():  # what is missing is let go of when it is missed for the second time
                pass
        return self

    def ids(self, **equal: str) -> list[int]:
        """The numbers of the decisions that are found, the newest first."""
        return [int(one.decision_id, 16) for one in self.found(Wanted(equal=equal))]

    def found(self, wanted: Wanted, most: int = 1000) -> list[Found]:
        return Index(self.audit, self.index).listed(wanted, most=most)

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.index)) as connection:
            return connection.execute(sql).fetchall()
