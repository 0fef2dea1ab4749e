"""Texts of any length, a client's among them, as parts of keys of a bounded one."""

from hashlib import sha256


def digest(text: str) -> str:
    """128 bits of the SHA-256 of a text, in hex. What is no Unicode (a lone surrogate) has one, too."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
