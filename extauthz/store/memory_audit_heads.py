"""Ends of audit chains in the memory of one process. Whoever calls holds the lock of the store."""

from extauthz.store.audit_heads import AuditHead


class MemoryAuditHeads:
    """The ends by writer."""

    def __init__(self) -> None:
        self._heads: dict[str, AuditHead] = {}

    def put(self, head: AuditHead) -> None:
        """As `Store.put_audit_head`."""
        known = self._heads.get(head.writer)
        if known is None or known.seq < head.seq:
            self._heads[head.writer] = head

    def listed(self, now: float) -> tuple[AuditHead, ...]:
        """As `Store.audit_heads`."""
        found = (head for head in self._heads.values() if head.until > now)
        return tuple(sorted(found, key=lambda head: (head.at, head.writer)))

    def sweep(self, now: float) -> None:
        """Forget what is of no interest any more."""
        self._heads = {writer: head for writer, head in self._heads.items() if head.until > now}
