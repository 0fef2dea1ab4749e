"""An audit file behind a journal, as a server has it."""

from concurrent.futures import Future
from pathlib import Path

from extauthz.record.audit_file import ROOM, AuditCounts, AuditFile
from extauthz.record.brief import Decided
from extauthz.record.journal import HANGING, QUEUE, QUEUE_BYTES, REQUIRED, REQUIRED_BYTES, Journal
from extauthz.record.keeping import Keeper, Record, Recorder
from extauthz.record.masking import Keep
from extauthz.stepup.keys import KeyRing

DEFAULTS = Keep()


class AuditJournal(Recorder):
    """Records into one file; to be closed."""

    def __init__(
        self,
        path: Path,
        keep: Keep = DEFAULTS,
        *others: Keeper,
        room: int = ROOM,
        queue: int = QUEUE,
        queue_bytes: int = QUEUE_BYTES,
        required: int = REQUIRED,
        required_bytes: int = REQUIRED_BYTES,
        hanging: float = HANGING,
        must: bool = False,
        keys: KeyRing | None = None,
    ) -> None:
        self.file = AuditFile(path, keep, keys=keys, room=room)
        self.journal = Journal(
            others,
            audit=self.file,
            must=must,
            queue=queue,
            queue_bytes=queue_bytes,
            required=required,
            required_bytes=required_bytes,
            hanging=hanging,
        )

    @property
    def blocked(self) -> bool:
        return self.journal.blocked

    def record(self, record: Record) -> None:
        self.journal.record(record)

    def commit(self, record: Decided) -> Future[None]:
        return self.journal.commit(record)

    def count(self) -> AuditCounts:
        file, journal = self.file.count(), self.journal.count()
        return AuditCounts(
            waiting=file.waiting + journal.waiting, written=file.written, lost=file.lost + journal.dropped
        )

    def close(self) -> None:
        self.journal.close()
