"""Revocations in the memory of one process. Whoever calls holds the lock of the store."""

from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.store.revocations import REMEMBERED_CHANGES, Changes
from extauthz.values.identity import Subject


class MemoryRevocations:
    """The revocations, and the keys of what has changed, in the order of the changes."""

    def __init__(self) -> None:
        self._revocations: dict[RevocationKey, Revocation] = {}
        self._log: list[RevocationKey] = []
        self._forgotten = 0

    def put(self, revocation: Revocation, *, now: float) -> Revocation:
        """What is in force of its key from now on."""
        before = self._revocations.get(revocation.key)
        kept = revocation if before is None else revocation.widened(before, now=now)
        self._revocations[kept.key] = kept
        self._log.append(kept.key)
        return kept

    def withdraw(self, key: RevocationKey, *, now: float) -> bool:
        """False if it was not in force."""
        removed = self._revocations.pop(key, None)
        if removed is not None:
            self._log.append(key)
        return removed is not None and removed.until > now

    def listed(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        """What is in force of this subject, of everybody for `None`; oldest first."""
        found = (
            revocation
            for revocation in self._revocations.values()
            if revocation.until > now and subject in (None, revocation.subject)
        )
        return tuple(sorted(found, key=lambda revocation: (revocation.at, revocation.key)))

    def changes(self, since: str | None) -> Changes:
        """As `RevocationStore.revocation_changes`; a mark counts the changes."""
        mark = str(self._forgotten + len(self._log))
        if since is None or int(since) < self._forgotten:
            return Changes(mark=mark, whole=True, put=tuple(self._revocations.values()))
        changed = dict.fromkeys(self._log[int(since) - self._forgotten :])
        return Changes(
            mark=mark,
            whole=False,
            put=tuple(self._revocations[key] for key in changed if key in self._revocations),
            withdrawn=tuple(key for key in changed if key not in self._revocations),
        )

    def sweep(self, ended: float) -> None:
        """Forget what has ended by then, and changes beyond those remembered."""
        for key in [key for key, revocation in self._revocations.items() if revocation.until <= ended]:
            del self._revocations[key]
        excess = max(len(self._log) - REMEMBERED_CHANGES, 0)
        del self._log[:excess]
        self._forgotten += excess
