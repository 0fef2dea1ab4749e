"""What becomes of records, as the settings and the environment say."""

from collections.abc import Mapping

from extauthz import __version__
from extauthz.record.audit_file import AuditCounts, AuditFile
from extauthz.record.journal import Journal
from extauthz.record.keeping import Recorder
from extauthz.record.masking import Keep
from extauthz.record.tracing import open_tracing
from extauthz.settings import Settings


class Recording:
    """The journal with its keepers, running; `close` blocks until what waits is kept."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Open what is configured.

        Raises:
            ConfigurationError: the audit file can't be written, or the variables of OpenTelemetry ask for what does
                not exist.
        """
        audit = settings.audit
        self.spans = open_tracing(environ, version=__version__)
        """What gives out spans for others to link to; `None` where there are none."""
        self._audit = None if audit is None else AuditFile(settings.base / audit.path, Keep.of(audit.keep))
        keepers = () if self.spans is None else (self.spans,)
        self._journal = Journal(keepers, audit=self._audit)
        self.recorder: Recorder | None = self._journal if keepers or self._audit is not None else None
        """Takes records; `None` where nobody keeps any."""

    def audit_counts(self) -> AuditCounts:
        """Audit records on their way, in the file and lost. What the journal drops is lost to the audit."""
        journal = self._journal.count()
        kept = AuditCounts(waiting=0, written=0, lost=0) if self._audit is None else self._audit.count()
        return AuditCounts(
            waiting=kept.waiting + journal.waiting, written=kept.written, lost=kept.lost + journal.dropped
        )

    def close(self) -> None:
        """Keep what waits, and end."""
        self._journal.close()
