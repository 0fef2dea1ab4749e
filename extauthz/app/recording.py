"""What becomes of decisions and events, as the settings and the environment say.

The rule kept here: they are always counted; where nothing else is wanted of them, nobody takes records.
"""

from collections.abc import Mapping

from extauthz import __version__
from extauthz.app.audit_heads import AuditHeads
from extauthz.record.audit_file import AuditCounts, AuditFile
from extauthz.record.config import AuditSettings
from extauthz.record.journal import Journal
from extauthz.record.keeping import Keeper, Recorder
from extauthz.record.opening import open_audit
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import DEFAULT, Propagation
from extauthz.record.tracing import open_tracing
from extauthz.settings import Settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.audit_heads import AuditHeadStore
from extauthz.web.metrics import Metrics


class Recording:
    """The counts, and the journal with its keepers, running; `close` blocks until what waits is kept."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], keys: KeyRing, *, events: Keeper | None = None
    ) -> None:
        """Open what is configured; `keys` sign the checkpoints of the audit, `events` tells of events.

        Raises:
            ConfigurationError: the audit file can't be written, or the variables of OpenTelemetry ask for what does
                not exist.
        """
        audit = settings.audit
        self.spans = open_tracing(environ, version=__version__)
        """What gives out spans for others to link to; `None` where there are none."""
        self._audit = None if audit is None else open_audit(audit, base=settings.base, keys=keys)
        self.tallies = Tallies(Propagation(environ.get("OTEL_PROPAGATORS", "") or DEFAULT).parent)
        """What counts."""
        keepers = tuple(one for one in (self.spans, events) if one is not None)
        must = audit is not None and audit.when_full == "deny"
        wanted = keepers or self._audit is not None
        self._journal = Journal(keepers, audit=self._audit, must=must) if wanted else None

    @property
    def recorder(self) -> Recorder | None:
        """Takes records; `None` where nobody wants any."""
        return self._journal

    def tell(self, metrics: Metrics) -> None:
        """Have `metrics` tell of records, and of what was counted of them."""
        metrics.follow_decisions(lambda: self.tallies.tallied)
        journal, audit, spans = self._journal, self._audit, self.spans
        if journal is None:
            return
        metrics.follow_journal(journal.count)
        if audit is not None:
            metrics.follow_audit(lambda: _counts(journal, audit))
        if spans is not None:
            metrics.follow_spans(lambda: spans.counts)

    def heads(self, store: AuditHeadStore, audit: AuditSettings | None) -> AuditHeads | None:
        """What tells `store` how far the audit has come; `None` where there is none."""
        file = self._audit
        if file is None or audit is None:
            return None
        return AuditHeads(store, file, audit)

    def close(self) -> None:
        """Keep what waits, and end."""
        if self._journal is not None:
            self._journal.close()


def _counts(journal: Journal, audit: AuditFile) -> AuditCounts:
    """Audit records on their way, in the file and lost. What the journal drops is lost to the audit."""
    on_way, kept = journal.count(), audit.count()
    return AuditCounts(waiting=kept.waiting + on_way.waiting, written=kept.written, lost=kept.lost + on_way.dropped)
