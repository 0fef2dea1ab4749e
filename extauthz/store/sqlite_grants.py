"""Grants in the SQLite store, and which Check has used them.

The rule: each function belongs into a transaction of its caller.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.store.approval_rows import approved_in, to_text
from extauthz.store.protocol import MOST_GRANTS, Consumed, Selection
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

_COLUMNS: Final = "id, subject, session, holder, binding, rule, factor, issued_at, expires_at, uses, approval"
_SELECTED: Final = "(?1 IS NULL OR subject = ?1) AND (?2 IS NULL OR session = ?2) AND (?3 IS NULL OR rule = ?3)"
"""The condition of a selection; `_parameters` has those of it."""


def found(
    connection: sqlite3.Connection, subject: Subject, session: str, fingerprint: str, now: float
) -> tuple[Grant, ...]:
    """Those that a Check may rest on, oldest first."""
    rows = connection.execute(
        """SELECT id, subject, session, holder, binding, rule, factor, issued_at, expires_at,
                  CASE uses WHEN 0 THEN 1 ELSE uses END, approval
           FROM grants WHERE subject = ?1 AND session = ?2 AND expires_at > ?3 AND (
               uses IS NULL OR uses > 0 OR EXISTS (
                   SELECT 1 FROM spent WHERE grant_id = id AND fingerprint = ?4 AND spent_at >= ?5))
           ORDER BY issued_at, id""",
        (subject.key, session, now, fingerprint, now - REPEAT_SECONDS),
    )
    return tuple(map(_grant, rows))


def use(connection: sqlite3.Connection, subject: Subject, ids: Sequence[str], fingerprint: str, now: float) -> Consumed:
    """As `Store.consume`; where it is not done, the caller undoes what is."""
    used: set[str] = set()
    for id_ in dict.fromkeys(ids):
        row = connection.execute(
            """SELECT uses, EXISTS (
                   SELECT 1 FROM spent WHERE grant_id = id AND fingerprint = ?2 AND spent_at >= ?3)
               FROM grants WHERE id = ?1 AND expires_at > ?4 AND subject = ?5""",
            (id_, fingerprint, now - REPEAT_SECONDS, now, subject.key),
        ).fetchone()
        if row is None:
            return Consumed(done=False)
        uses, repeated = row
        if uses is None or repeated:
            continue
        if uses == 0:
            return Consumed(done=False)
        used.add(id_)
        connection.execute("UPDATE grants SET uses = uses - 1 WHERE id = ?", (id_,))
        if fingerprint:
            connection.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?)", (id_, fingerprint, now))
    return Consumed(done=True, used=frozenset(used))


def put(connection: sqlite3.Connection, subject: Subject, grants: Sequence[Grant], now: float) -> None:
    """Add new grants of a subject; older ones go where they are too many."""
    if not grants:
        return
    connection.execute("DELETE FROM grants WHERE subject = ? AND expires_at <= ?", (subject.key, now))
    # The newest that are not used up stay.
    connection.execute(
        """DELETE FROM grants WHERE subject = ?1 AND id NOT IN (
               SELECT id FROM grants WHERE subject = ?1 ORDER BY uses IS 0, issued_at DESC, id DESC LIMIT ?2)""",
        (subject.key, max(MOST_GRANTS - len(grants), 0)),
    )
    connection.executemany(
        f"INSERT INTO grants ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        [
            (
                grant.id,
                grant.subject.key,
                grant.session,
                grant.holder,
                grant.binding,
                grant.rule,
                grant.factor,
                grant.issued_at,
                grant.expires_at,
                grant.uses,
                None if grant.approval is None else to_text(grant.approval),
            )
            for grant in grants
        ],
    )


def take_back(connection: sqlite3.Connection, subject: Subject, ids: Sequence[str]) -> None:
    """Forget the grants of a subject with these ids."""
    connection.executemany("DELETE FROM grants WHERE subject = ? AND id = ?", [(subject.key, id_) for id_ in ids])


def selected(connection: sqlite3.Connection, selection: Selection, now: float) -> tuple[Grant, ...]:
    """The selected ones that are good, oldest first."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM grants
            WHERE {_SELECTED} AND expires_at > ?4 AND uses IS NOT 0
            ORDER BY issued_at, id""",  # noqa: S608 - constants
        (*_parameters(selection), now),
    )
    return tuple(map(_grant, rows))


def forget(connection: sqlite3.Connection, selection: Selection, now: float) -> int:
    """Forget the selected ones; how many were good."""
    good = f"SELECT count(*) FROM grants WHERE {_SELECTED} AND expires_at > ?4 AND uses IS NOT 0"  # noqa: S608 - constants
    known = int(connection.execute(good, (*_parameters(selection), now)).fetchone()[0])
    connection.execute(f"DELETE FROM grants WHERE {_SELECTED}", _parameters(selection))  # noqa: S608 - a constant
    return known


def forget_of(connection: sqlite3.Connection, subject: Subject) -> None:
    """Forget all those of a subject."""
    connection.execute("DELETE FROM grants WHERE subject = ?", (subject.key,))


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what no longer changes any answer."""
    connection.execute("DELETE FROM grants WHERE expires_at <= ?", (now,))
    connection.execute("DELETE FROM spent WHERE spent_at < ?", (now - REPEAT_SECONDS,))


def _parameters(selection: Selection) -> tuple[str | None, str | None, str | None]:
    return (None if selection.subject is None else selection.subject.key, selection.session, selection.rule)


def _grant(row: tuple[Any, ...]) -> Grant:
    id_, key, session, holder, binding, rule, factor, issued_at, expires_at, uses, approval = row
    return Grant(
        id=id_,
        subject=Subject(*json.loads(key)),
        session=session,
        holder=holder,
        binding=binding,
        rule=rule,
        factor=factor,
        issued_at=issued_at,
        expires_at=expires_at,
        uses=uses,
        approval=approved_in(approval and json.loads(approval)),
    )
