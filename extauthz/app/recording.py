"""What becomes of records, as the settings and the environment say."""

from collections.abc import Mapping
from pathlib import Path

from extauthz import __version__
from extauthz.app.audit_heads import AuditHeads, kept_for
from extauthz.record.audit_file import AuditCounts, AuditFile
from extauthz.record.config import AuditSettings
from extauthz.record.journal import Journal
from extauthz.record.keeping import Recorder
from extauthz.record.masking import Keep
from extauthz.record.rotation import Rotation
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import DEFAULT, Propagation
from extauthz.record.tracing import open_tracing
from extauthz.settings import Settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.audit_heads import AuditHeadStore
from extauthz.web.metrics import Metrics


class Recording:
    """The journal with its keepers, running; `close` blocks until what waits is kept."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], keys: KeyRing) -> None:
        """Open what is configured; `keys` sign the checkpoints of the audit.

        Raises:
            ConfigurationError: the audit file can't be written, or the variables of OpenTelemetry ask for what does
                not exist.
        """
        audit = settings.audit
        self.spans = open_tracing(environ, version=__version__)
        """What gives out spans for others to link to; `None` where there are none."""
        self._audit = None if audit is None else _open(audit, settings.base, keys)
        self._tallies = Tallies(Propagation(environ.get("OTEL_PROPAGATORS", "") or DEFAULT).parent)
        keepers = (self._tallies,) if self.spans is None else (self._tallies, self.spans)
        must = audit is not None and audit.when_full == "deny"
        self._journal = Journal(keepers, audit=self._audit, must=must)

    @property
    def recorder(self) -> Recorder:
        """Takes records."""
        return self._journal

    def tell(self, metrics: Metrics) -> None:
        """Have `metrics` tell of records, and of what was counted of them."""
        metrics.follow_decisions(lambda: self._tallies.tallied)
        metrics.follow_journal(self._journal.count)
        if self._audit is not None:
            metrics.follow_audit(self.audit_counts)
        if (spans := self.spans) is not None:
            metrics.follow_spans(lambda: spans.counts)

    def audit_counts(self) -> AuditCounts:
        """Audit records on their way, in the file and lost. What the journal drops is lost to the audit."""
        journal = self._journal.count()
        kept = AuditCounts(waiting=0, written=0, lost=0) if self._audit is None else self._audit.count()
        return AuditCounts(
            waiting=kept.waiting + journal.waiting, written=kept.written, lost=kept.lost + journal.dropped
        )

    def heads(self, store: AuditHeadStore, audit: AuditSettings | None) -> AuditHeads | None:
        """What tells `store` how far the audit has come; `None` where there is none."""
        file = self._audit
        if file is None or audit is None:
            return None
        return AuditHeads(store, lambda: file.head, file=file.path.absolute(), keep=kept_for(audit))

    def close(self) -> None:
        """Keep what waits, and end."""
        self._journal.close()


def _open(audit: AuditSettings, base: Path, keys: KeyRing) -> AuditFile:
    rotate, retain = audit.rotate, audit.retain
    rotation = Rotation(
        size=None if rotate is None else rotate.size,
        every=None if rotate is None else rotate.every,
        retain_for=None if retain is None else retain.for_,
        retain_files=None if retain is None else retain.files,
    )
    return AuditFile(base / audit.path, Keep.of(audit.keep), keys=keys, rotation=rotation)
