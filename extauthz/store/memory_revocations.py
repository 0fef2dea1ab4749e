"""Revocations and signals in the memory of one process. Whoever calls holds the lock of the store."""

from collections.abc import Iterable

from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal, SignalKey
from extauthz.store.revocations import REMEMBERED_CHANGES, Changes
from extauthz.store.signals import Delivered, Receipt, known_as
from extauthz.values.identity import Subject


class MemoryRevocations:
    """The revocations, the signals, and the keys of what has changed, in the order of the changes."""

    def __init__(self) -> None:
        self._revocations: dict[RevocationKey, Revocation] = {}
        self._signals: dict[SignalKey, Signal] = {}
        self._receipts: dict[str, Receipt] = {}
        self._log: list[RevocationKey | SignalKey] = []
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

    def receive(self, receipt: Receipt) -> Delivered:
        """Remember that a token was received; done, unless it was known."""
        known = self._receipts.get(receipt.id)
        refused = known_as(receipt, None if known is None else known.digest)
        if refused is not None:
            return refused
        self._receipts[receipt.id] = receipt
        return Delivered.DONE

    def signal(self, signals: Iterable[Signal], *, now: float) -> None:
        """Let these hold from now on, each that is newer than what is in force."""
        for signal in signals:
            before = self._signals.get(signal.key)
            if before is None or before.until <= now or signal.follows(before):
                self._signals[signal.key] = signal
                self._log.append(signal.key)

    def signals(self, subject: Subject | None, *, now: float) -> tuple[Signal, ...]:
        """As `SignalStore.signals`."""
        found = (
            signal
            for signal in self._signals.values()
            if signal.until > now and (subject is None or (signal.key.about == "subject" and signal.subject == subject))
        )
        return tuple(sorted(found, key=lambda signal: (signal.at, signal.key)))

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
            put, signals = tuple(self._revocations.values()), tuple(self._signals.values())
            return Changes(mark=mark, whole=True, put=put, signals=signals)
        changed = dict.fromkeys(self._log[int(since) - self._forgotten :])
        return Changes(
            mark=mark,
            whole=False,
            put=tuple(
                self._revocations[key] for key in changed if isinstance(key, RevocationKey) and key in self._revocations
            ),
            withdrawn=tuple(key for key in changed if isinstance(key, RevocationKey) and key not in self._revocations),
            signals=tuple(self._signals[key] for key in changed if isinstance(key, SignalKey) and key in self._signals),
        )

    def sweep(self, ended: float) -> None:
        """Forget what has ended by then, and changes beyond those remembered."""
        for key in [key for key, revocation in self._revocations.items() if revocation.until <= ended]:
            del self._revocations[key]
        self._signals = {key: signal for key, signal in self._signals.items() if signal.until > ended}
        self._receipts = {id_: receipt for id_, receipt in self._receipts.items() if receipt.until > ended}
        excess = max(len(self._log) - REMEMBERED_CHANGES, 0)
        del self._log[:excess]
        self._forgotten += excess
