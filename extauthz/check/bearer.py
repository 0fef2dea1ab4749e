"""The bearer tokens that are secrets which a configuration names (RFC 6750 section 2.1).

The rule: how long it takes to compare tells nothing about the secret, nor how long that is.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256


def proves_bearer(authorization: Sequence[str], secret: str) -> bool:
    """Whether these values of the Authorization header are one, and that has the `secret`."""
    scheme, _, given = (authorization[0] if len(authorization) == 1 else "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    return hmac.compare_digest(_digest(given), _digest(secret)) and is_bearer


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
