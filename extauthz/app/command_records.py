"""What a command tells of what it has done to the state that servers share: lines of the audit that its configuration
names, with a chain of their own.

The rules: the file is opened before anything is changed, and nothing is changed if it can't be; and what was done is on
disk there before the command says so.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extauthz.app.key_file import read_keys
from extauthz.errors import ExtauthzError, failure_of
from extauthz.record.audit_file import AuditFile
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.record.life import LifeRecord
from extauthz.record.masking import Keep
from extauthz.settings import Settings


class NotRecorded(ExtauthzError):
    """It is done, and the audit does not say so; the message says why."""


class _Told:
    """Keeps what is told until it can be written."""

    def __init__(self) -> None:
        self.records: list[LifeRecord] = []

    def record(self, record: LifeRecord) -> None:
        self.records.append(record)


@contextmanager
def command_records(settings: Settings) -> Iterator[Chronicle]:
    """Where a command tells what it does; it is on disk when this ends.

    Raises:
        ConfigurationError: the audit file can't be opened, or the keys that sign it can't be used.
        NotRecorded: what was told can't be written.
    """
    audit = settings.audit
    if audit is None:
        yield SILENT
        return
    path = settings.base / audit.path
    # Where there are none, what is told is not signed: whoever must block somebody now needs no keys for it.
    keys = read_keys(settings.keys_path) if settings.keys_path.exists() else None
    file = AuditFile(path, Keep.of(audit.keep), keys=keys)
    told = _Told()
    try:
        try:
            yield Chronicle(recorder=told, clock=time.time_ns)
        finally:  # also what was done before something went wrong
            _commit(told.records, file, path)
    finally:
        file.close()


def _commit(records: list[LifeRecord], file: AuditFile, path: Path) -> None:
    if not records:
        return
    try:
        file.commit(records)
    except OSError as error:
        raise NotRecorded(f"{path}: it is done, but can't be recorded: {failure_of(error)}") from error
