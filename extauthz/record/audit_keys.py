"""The public keys that an audit is checked with, as a JWK Set (RFC 7517, RFC 8037): one for each key of the ring.

The rule kept here: nothing secret is in it, so it may lie beside the audit, or with whoever checks it.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from extauthz.errors import ConfigurationError
from extauthz.record.chain import public_key
from extauthz.stepup.keys import KeyRing


class AuditKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key of Ed25519 (RFC 8037 section 2); `x` is base64url without padding."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    kid: str
    x: str
    use: str = "sig"


class AuditKeys(msgspec.Struct, frozen=True):
    """A set of them."""

    keys: tuple[AuditKey, ...]


_DECODER: Final = msgspec.json.Decoder(AuditKeys)


def public_keys(ring: KeyRing) -> AuditKeys:
    """The public keys of all keys in the ring, the one that makes last."""
    return AuditKeys(
        tuple(AuditKey(kty="OKP", crv="Ed25519", kid=key.kid, x=public_key(key.audit)) for key in ring.keys)
    )


def by_id(keys: AuditKeys) -> Mapping[str, str]:
    """The keys themselves, by id."""
    return {key.kid: key.x for key in keys.keys}


def parse_public_keys(text: bytes, place: str) -> AuditKeys:
    """The set in the text of a file, which `place` names.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(
            f"{place}: not the public keys of an audit, which `extauthz keys audit` prints"
        ) from None
