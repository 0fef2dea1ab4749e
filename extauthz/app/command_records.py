"""What a command tells of what it has done to the state that servers share: lines of the audit that its configuration
names, with a chain of their own.

The rules: the file is opened before anything is changed, and nothing is changed if it can't be; and what was done is on
disk there before the command says so.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from extauthz.app.wiring import load_keys
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
    file = AuditFile(path, Keep.of(audit.keep), keys=load_keys(settings))
    told = _Told()
    try:
        try:
            yield Chronicle(recorder=told, clock=time.time_ns)
        finally:
            if told.records:
                file.commit(told.records)
    except OSError as error:
        raise NotRecorded(f"{path}: it is done, but can't be recorded: {failure_of(error)}") from error
    finally:
        file.close()
