"""Moments as records write them."""

from datetime import UTC, datetime


def rfc3339(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 writes them, in UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
