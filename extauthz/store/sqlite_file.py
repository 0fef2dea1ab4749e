"""One SQLite file: a connection to it, the thread of that, its transactions.

The rules: every write is one `BEGIN IMMEDIATE` transaction, on disk before it is reported (`synchronous=FULL`), but for
counts, of which a machine that loses its power may lose the last ones (`NORMAL`): they are of every request. The
connection belongs to one thread of its own, so that callers await it. A file that vanished is an outage, never a
reason to begin an empty one, and one that somebody else begins in its place is not used: burned codes would be good
again. Whether it can be written to is found out by writing.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from extauthz.errors import ConfigurationError, ExtauthzError, StateUnavailable, failure_of
from extauthz.store.schema import migrate, origin

BUSY_SECONDS: Final = 2.0
"""How long another process's transaction is waited for."""
TRY_EVERY: Final = 10.0
"""Seconds, at most, between two writes while all is well: a disk that is full is noticed, and none is worn out."""

_PROBLEMS: Final = (sqlite3.Error, OSError, ArithmeticError, LookupError, TypeError, ValueError)
"""Beside those of the file: what no file can hold, and rows that no version of this program wrote."""

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]


class SqliteFile:
    """A connection to the file at `path`, opened at once; unless `create` is false, it is made if it is not there.

    What is written over one that is not `durable` survives the end of the process, not that of the machine.

    Raises:
        ConfigurationError: a newer version of this program made the file.
        StateUnavailable: it can't be opened.
    """

    def __init__(self, path: Path, *, durable: bool = True, create: bool = True) -> None:
        self._path = path
        self._synchronous = "FULL" if durable else "NORMAL"
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._origin: bytes | None = None
        self._writes_fail = False
        self._wrote_at = float("-inf")
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="extauthz-store")
        try:
            self._executor.submit(self._guarded, lambda: self._open(create=create)).result()
        except ExtauthzError:
            self._executor.shutdown(wait=False)
            raise

    async def read(self, work: Work[_T]) -> _T:
        """What `work` reads. Raises `StateUnavailable`."""
        return await self._run(lambda: work(self._connected()))

    async def write(self, work: Work[_T], *, keep: Callable[[_T], bool] = lambda _: True) -> _T:
        """One transaction, committed if `keep` says so of its result, else undone. Raises `StateUnavailable`."""

        return await self._run(lambda: self._transaction(work, keep))

    async def check(self, work: Work[object]) -> None:
        """Return if it can be written to: `work` writes something, if the last write failed or was long ago.

        Raises `StateUnavailable`.
        """

        def check() -> None:
            is_due = self._writes_fail or time.monotonic() - self._wrote_at > TRY_EVERY
            self._transaction(work if is_due else lambda _: None, lambda _: True)

        await self._run(check)

    async def close(self) -> None:
        """Let go of it; closing twice is fine."""
        closing = self.let_go()
        if closing is not None:
            await asyncio.wrap_future(closing)

    def let_go(self) -> Future[None] | None:
        """Begin to let go of it; what comes back is done when that is. `None` if it was asked before."""
        try:
            closing = self._executor.submit(self._close)
        except RuntimeError:
            return None
        self._executor.shutdown(wait=False)
        return closing

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            running: Future[_T] = self._executor.submit(self._guarded, work)
        except RuntimeError as error:
            raise StateUnavailable(f"store: {self._path}: it is closed") from error
        return await asyncio.wrap_future(running)

    def _guarded(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except _PROBLEMS as error:
            fault = failure_of(error) if isinstance(error, OSError) else str(error)
            raise StateUnavailable(f"store: {self._path}: {fault}") from error

    def _transaction(self, work: Work[_T], keep: Callable[[_T], bool]) -> _T:
        connection = self._connected()
        try:
            connection.execute("BEGIN IMMEDIATE")
            before = connection.total_changes
            result = work(connection)
            kept = keep(result)
            connection.execute("COMMIT" if kept else "ROLLBACK")
        except BaseException:
            self._writes_fail = True
            # A full disk may have ended the transaction already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if kept and connection.total_changes > before:
            self._writes_fail, self._wrote_at = False, time.monotonic()
        return result

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now."""
        if self._connection is not None and self._identity() != self._file:
            self._close()
        if self._connection is not None:
            return self._connection
        try:
            return self._open(create=False)
        except ConfigurationError as error:  # a newer version's file has taken the place
            raise StateUnavailable(f"store: {error}") from error

    def _identity(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def _open(self, *, create: bool) -> sqlite3.Connection:
        if create:
            self._path.touch(mode=0o600)  # SQLite gives its journals the mode of the file
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
        try:
            _use_wal(connection)
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            migrate(connection, str(self._path))
            self._check_origin(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, self._identity()
        return connection

    def _check_origin(self, connection: sqlite3.Connection) -> None:
        found = origin(connection)
        if self._origin not in (None, found):
            raise StateUnavailable(
                f"store: {self._path}: another file is in its place, which knows nothing of what was used up;"
                " put the file or a copy of it back, or restart to begin with this one"
            )
        self._origin = found

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging. SQLite's own wait for locks does not cover this one statement."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return
