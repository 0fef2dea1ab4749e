"""What a grant is tied to beside its subject: the session, and what the caller holds (design section 4).

The rule: every text begins with its kind, and digests are over parts that can't run into each other, so that no
session or holder of one kind, issuer or workload is ever that of another.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Final

from extauthz.identity.held import Held, digest
from extauthz.values.identity import User, holder_of_cookie

# What this server sets: base64url of 16 random bytes or more. Anything else was not set by it.
_COOKIE_SECRET = re.compile(r"[A-Za-z0-9_-]{22,128}")
_NOTHING: Final[frozenset[str]] = frozenset()


def session(user: User) -> str:
    """The session of a user by one token: its `sid`, else the token, told apart by whether it is a cookie's."""
    if user.sid is not None:
        return session_of_sid(user.iss, user.sid)
    return ("cookie:" if user.cookie else "token:") + digest(user.iss, user.token_hash)


def session_of_sid(issuer: str, sid: str) -> str:
    """The session that an issuer calls `sid`."""
    return "sid:" + digest(issuer, sid)


def holders(*, workload: str, certificate: str, key: str, address: str, secret: str | None) -> AbstractSet[str]:
    """Everything that the caller holds: `cookie:`, `dpop:`, `cert:` and `peer:`, each with a digest.

    `secret` is the value of the holder cookie, which counts only if this server can have set it; `key` the thumbprint
    of a key whose possession was proven (RFC 7638), empty for none; `certificate` the SHA-256 of a proven certificate
    in lower-case hex; `workload` the SPIFFE ID, empty for none, which together with the client's `address` is a holder
    where the address is known.
    """
    beside = _NOTHING
    if key:
        beside |= {"dpop:" + key}
    if secret is not None and _COOKIE_SECRET.fullmatch(secret) is not None:
        beside |= {holder_of_cookie(secret)}
    return Held(workload, certificate, address, beside)
