"""What records call what must not stand in them: the first half of its SHA-256.

The rule kept here: only what nobody can guess goes through it, for a digest of anything else tells what it is of.
"""

from hashlib import sha256


def session_hash(session: str) -> str:
    """What a record calls a session, or a device: the first half of its SHA-256 in hex."""
    return sha256(session.encode("utf-8", "surrogatepass")).hexdigest()[:32]
