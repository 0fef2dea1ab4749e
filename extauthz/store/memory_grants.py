"""Grants in the memory of one process, by subject: what one of them has costs the others nothing. Whoever calls holds
the lock of the store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.store.protocol import MOST_GRANTS, Consumed, Selection
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

_NONE: dict[str, Grant] = {}


class MemoryGrants:
    """The grants by subject and id, and when which Check has used them."""

    def __init__(self) -> None:
        self._grants: dict[Subject, dict[str, Grant]] = {}
        self._uses: dict[tuple[Subject, str, str], float] = {}

    def found(self, subject: Subject, session: str, fingerprint: str, now: float) -> tuple[Grant, ...]:
        """Those that a Check may rest on, oldest first."""
        found: list[Grant] = []
        for grant in self._grants.get(subject, _NONE).values():
            if grant.session != session or grant.expires_at <= now:
                continue
            if grant.uses != 0:
                found.append(grant)
            elif self._repeats(grant, fingerprint, now):
                found.append(replace(grant, uses=1))
        return tuple(sorted(found, key=_age))

    def use(self, subject: Subject, ids: Sequence[str], fingerprint: str, now: float) -> Consumed:
        """As `Store.consume`."""
        theirs = self._grants.get(subject, _NONE)
        left: dict[str, Grant] = {}
        for id_ in dict.fromkeys(ids):
            grant = theirs.get(id_)
            if grant is None or grant.expires_at <= now:
                return Consumed(done=False)
            if grant.uses is None or self._repeats(grant, fingerprint, now):
                continue
            if grant.uses == 0:
                return Consumed(done=False)
            left[id_] = replace(grant, uses=grant.uses - 1)
        theirs |= left
        if fingerprint:
            self._uses |= {(subject, id_, fingerprint): now for id_ in left}
        return Consumed(done=True, used=frozenset(left))

    def put(self, subject: Subject, grants: Sequence[Grant], now: float) -> None:
        """Add new ones; older ones go where they are too many."""
        if not grants:
            return
        old = [grant for grant in self._grants.get(subject, _NONE).values() if grant.expires_at > now]
        old.sort(key=lambda grant: (grant.uses != 0, *_age(grant)))
        excess = max(len(old) + len(grants) - MOST_GRANTS, 0)
        self._grants[subject] = {grant.id: grant for grant in (*old[excess:], *grants)}

    def selected(self, selection: Selection, now: float) -> tuple[Grant, ...]:
        """The selected ones that are good, oldest first."""
        good = (grant for grant in self._among(selection) if grant.expires_at > now and grant.uses != 0)
        return tuple(sorted(good, key=_age))

    def forget(self, selection: Selection, now: float) -> int:
        """Forget the selected ones; how many were good."""
        good = len(self.selected(selection, now))
        for grant in list(self._among(selection)):
            del self._grants[grant.subject][grant.id]
        return good

    def good(self, subject: Subject, now: float) -> frozenset[str]:
        """The ids of a subject's that are good."""
        return frozenset(grant.id for grant in self.selected(Selection(subject=subject), now))

    def take_back(self, subject: Subject, ids: Sequence[str]) -> None:
        """Forget those of a subject with these ids."""
        for id_ in ids:
            self._grants.get(subject, {}).pop(id_, None)

    def sweep(self, now: float) -> None:
        """Forget what changes no answer any more."""
        self._grants = {
            subject: left
            for subject, grants in self._grants.items()
            if (left := {id_: grant for id_, grant in grants.items() if grant.expires_at > now})
        }
        self._uses = {key: at for key, at in self._uses.items() if now - at <= REPEAT_SECONDS}

    def _among(self, selection: Selection) -> Iterable[Grant]:
        subjects = self._grants if selection.subject is None else (selection.subject,)
        for subject in subjects:
            for grant in self._grants.get(subject, _NONE).values():
                if selection.includes(grant):
                    yield grant

    def _repeats(self, grant: Grant, fingerprint: str, now: float) -> bool:
        used_at = self._uses.get((grant.subject, grant.id, fingerprint)) if fingerprint else None
        return used_at is not None and now - used_at <= REPEAT_SECONDS


def _age(grant: Grant) -> tuple[float, str]:
    return grant.issued_at, grant.id
