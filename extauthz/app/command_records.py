"""What a command tells of what it has done to the state that servers share: lines of the audit that its configuration
names, with a chain of their own, and letters for whoever is told of events.

The rules: the file is opened before anything is changed, and nothing is changed if it can't be; what was done is on
disk there before the command says so; and the store then knows the end of that chain as it knows those of servers.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import structlog

from extauthz.app.audit_heads import PATIENCE, AuditHeads
from extauthz.app.events import tell_events
from extauthz.app.key_file import read_keys
from extauthz.app.logs import logs_beside_answers
from extauthz.app.wiring import open_configured_store
from extauthz.errors import ExtauthzError, failure_of
from extauthz.record.audit_file import AuditFile
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.record.config import AuditSettings
from extauthz.record.life import LifeRecord
from extauthz.record.opening import open_audit
from extauthz.settings import Settings

_log = structlog.get_logger(__name__)


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
    if audit is None and not settings.events.webhooks:
        yield SILENT
        return
    told = _Told()
    chronicle = Chronicle(recorder=told, clock=time.time_ns)
    with logs_beside_answers():
        try:
            with nullcontext() if audit is None else _audited(settings, audit, told):
                yield chronicle
        finally:
            tell_events(settings, told.records)


@contextmanager
def _audited(settings: Settings, audit: AuditSettings, told: _Told) -> Iterator[None]:
    # Where there are none, what is told is not signed: whoever must block somebody now needs no keys for it.
    keys = read_keys(settings.keys_path) if settings.keys_path.exists() else None
    file = open_audit(audit, base=settings.base, keys=keys)
    try:
        try:
            yield
        finally:  # also what was done before something went wrong
            _commit(told.records, file)
    finally:
        file.close()
        if file.head.seq:
            _tell_end(settings, audit, file)


def _commit(records: list[LifeRecord], file: AuditFile) -> None:
    if not records:
        return
    try:
        file.commit(records)
    except OSError as error:
        raise NotRecorded(f"{file.path}: it is done, but can't be recorded: {failure_of(error)}") from error


def _tell_end(settings: Settings, audit: AuditSettings, file: AuditFile) -> None:
    """Tell the store of the end of the chain. What is done and recorded does not fail for it, but the log says so."""
    if settings.store == "memory:":
        return  # inside of a server

    async def tell() -> None:
        store = open_configured_store(settings, patience=PATIENCE)
        try:
            await AuditHeads(store, file, audit).tell()
        finally:
            await store.close()

    try:
        asyncio.run(tell())
    except ExtauthzError as error:
        _log.error("audit-head-not-told", error=str(error))
