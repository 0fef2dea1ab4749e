"""A time as people and programs read it."""

from datetime import UTC, datetime


def instant(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 has it, in UTC and whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
