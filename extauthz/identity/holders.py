"""What a grant is tied to beside its subject: the session, and what the caller holds (design section 4).

The rule: every text begins with its kind, and digests are over parts that can't run into each other, so that no
session or holder of one kind, issuer or workload is ever that of another.
"""

import json
import re
from functools import lru_cache
from hashlib import sha256

from extauthz.values.identity import User, holder_of_cookie

# What this server sets: base64url of 16 random bytes or more. Anything else was not set by it.
_COOKIE_SECRET = re.compile(r"[A-Za-z0-9_-]{22,128}")


def session(user: User) -> str:
    """The session of a user by one token: its `sid`, else the token, told apart by whether it is a cookie's."""
    if user.sid is not None:
        return "sid:" + _digest(user.iss, user.sid)
    return ("cookie:" if user.cookie else "token:") + _digest(user.iss, user.token_hash)


def cookie_holder(secret: str) -> str | None:
    """The holder by the value of the holder cookie; `None` if this server can't have set that value."""
    if _COOKIE_SECRET.fullmatch(secret) is None:
        return None
    return holder_of_cookie(secret)


def certificate_holder(thumbprint: str) -> str:
    """The holder by the SHA-256 of a certificate in lower-case hex."""
    return "cert:" + thumbprint


@lru_cache(maxsize=4096)
def peer_holder(workload: str, address: str) -> str:
    """The holder by the SPIFFE ID of the workload, empty if there is none, and the client's address."""
    return "peer:" + _digest(workload, address)


def _digest(*parts: str) -> str:
    return sha256(json.dumps(parts).encode("ascii")).hexdigest()
