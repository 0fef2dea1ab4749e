"""What a token is bound to: a certificate or a key that the caller must hold beside it (RFC 7800 section 3).

The rule: a bound token never counts as a bearer token. A binding that can't be proven here refuses the token.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extauthz.errors import InvalidCredential

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there beside the token; empty is nothing.

    `certificate` is the SHA-256 in lower-case hex of the client's certificate (RFC 8705 section 3.1), `key` the
    RFC 7638 thumbprint of its key (RFC 9449 section 6.1).
    """

    certificate: str = ""
    key: str = ""

    def check(self, *, certificate: str, key: str) -> None:
        """Raise `InvalidCredential` unless the caller has proven to hold these; empty is nothing proven."""
        if self.certificate and self.certificate != certificate:
            raise InvalidCredential("token: `cnf` is not the certificate of this connection")
        if self.key and not key:
            raise InvalidCredential("token: `cnf` needs a proof of possession")
        if self.key != key:
            raise InvalidCredential("token: `cnf` is not the key of the proof")


UNBOUND: Final = Confirmation()


def confirmation(claims: Mapping[str, Any]) -> Confirmation:
    """What the claims bind their token to. Raises `InvalidCredential` for anything but thumbprints of SHA-256."""
    if "cnf" not in claims:
        return UNBOUND
    match claims["cnf"]:
        case {"x5t#S256": str(certificate), "jkt": str(key), **others} if not others:
            return Confirmation(certificate=_hex(certificate), key=_thumbprint(key))
        case {"x5t#S256": str(certificate), **others} if not others:
            return Confirmation(certificate=_hex(certificate))
        case {"jkt": str(key), **others} if not others:
            return Confirmation(key=_thumbprint(key))
        case _:
            raise InvalidCredential("token: `cnf` is bound to something that can't be proven here")


def _thumbprint(text: str) -> str:
    if _THUMBPRINT.fullmatch(text) is None:
        raise InvalidCredential("token: `cnf` holds no thumbprint of SHA-256")
    return text


def _hex(thumbprint: str) -> str:
    return urlsafe_b64decode(_thumbprint(thumbprint) + "=").hex()
