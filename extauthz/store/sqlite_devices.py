"""Devices in the SQLite store.

The rule: each function belongs into a transaction of its caller, or on a connection that reads.
"""

import json
import sqlite3
from typing import Final

from extauthz.store.devices import MOST_DEVICES, ListedDevice
from extauthz.values.identity import Subject

SCHEMA: Final = (
    """CREATE TABLE devices (
        subject TEXT NOT NULL, id TEXT NOT NULL, first_at REAL NOT NULL, proven_at REAL NOT NULL, until REAL NOT NULL,
        name TEXT NOT NULL, PRIMARY KEY (subject, id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX devices_end ON devices (until)",
)


def put_device(connection: sqlite3.Connection, device: ListedDevice, *, now: float) -> None:
    """As `Store.put_device`."""
    connection.execute("DELETE FROM devices WHERE subject = ? AND until <= ?", (device.subject.key, now))
    connection.execute(
        """INSERT INTO devices (subject, id, first_at, proven_at, until, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
           ON CONFLICT (subject, id) DO UPDATE SET proven_at = ?4, until = ?5, name = ?6""",
        (device.subject.key, device.id, device.first_at, device.proven_at, device.until, device.name),
    )
    connection.execute(
        """DELETE FROM devices WHERE subject = ?1 AND id <> ?2 AND id NOT IN (
               SELECT id FROM devices WHERE subject = ?1 AND id <> ?2 ORDER BY proven_at DESC, id DESC LIMIT ?3)""",
        (device.subject.key, device.id, MOST_DEVICES - 1),
    )


def devices(connection: sqlite3.Connection, subject: Subject | None, *, now: float) -> tuple[ListedDevice, ...]:
    """As `Store.devices`."""
    rows = connection.execute(
        """SELECT subject, id, first_at, proven_at, until, name FROM devices
           WHERE until > ?1 AND (?2 IS NULL OR subject = ?2) ORDER BY proven_at, id""",
        (now, None if subject is None else subject.key),
    )
    return tuple(
        ListedDevice(
            id=id_,
            subject=Subject(*json.loads(key)),
            first_at=first_at,
            proven_at=proven_at,
            until=until,
            name=name,
        )
        for key, id_, first_at, proven_at, until, name in rows
    )


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove what counts no more."""
    connection.execute("DELETE FROM devices WHERE until <= ?", (now,))
