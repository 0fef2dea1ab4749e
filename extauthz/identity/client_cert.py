"""Client-Cert and Client-Cert-Chain: the headers in which a proxy that ends TLS hands a certificate on (RFC 9440).

The rule: one reading or none. Both are structured fields (RFC 9651); of that grammar only what RFC 9440 uses is read,
in the one spelling that encoders write: no parameters, no missing padding, no bits beyond the end.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence

from extauthz.errors import MalformedRequest

HEADER = "client-cert"
CHAIN_HEADER = "client-cert-chain"

MAX_CHAIN = 10

_ITEM = re.compile(r":([A-Za-z0-9+/=]++):")  # RFC 9651 section 3.3.5


def read(values: Sequence[str] | None, chain: Sequence[str] | None) -> tuple[bytes, tuple[bytes, ...]] | None:
    """The certificate and the chain behind it, both DER, of all lines of the two headers (`None`: it is not there).

    `None` without either. Raises `MalformedRequest` for what is no such field, for a chain without its certificate, and
    for two certificates.
    """
    if values is None:
        if chain is not None:
            raise MalformedRequest(f"{CHAIN_HEADER}: without {HEADER}")
        return None
    if len(values) != 1:  # section 2.2: an item; two lines are none
        raise MalformedRequest(f"{HEADER}: sent {len(values)} times")
    return _bytes(values[0].strip(" "), HEADER), () if chain is None else _list(chain)


def _list(values: Sequence[str]) -> tuple[bytes, ...]:
    """Section 2.3: a list; several lines are one (RFC 9651 section 4.2)."""
    items = [item for value in values for item in value.split(",", MAX_CHAIN)]
    if len(items) > MAX_CHAIN:
        raise MalformedRequest(f"{CHAIN_HEADER}: more than {MAX_CHAIN} certificates")
    return tuple(_bytes(item.strip(" \t"), CHAIN_HEADER) for item in items)


def _bytes(text: str, header: str) -> bytes:
    match = _ITEM.fullmatch(text)
    if match is None:
        raise MalformedRequest(f"{header}: not a certificate in base64 between colons")
    try:
        decoded = b64decode(match[1], validate=True)
    except ValueError:
        raise MalformedRequest(f"{header}: not base64") from None
    if b64encode(decoded).decode("ascii") != match[1]:
        raise MalformedRequest(f"{header}: not the canonical base64")
    return decoded
