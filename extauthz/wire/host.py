"""The canonical host: lower case, without port and without one trailing dot.

The rule: a name that a resolver, a router and an upstream could take for different hosts is refused.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from extauthz.errors import MalformedRequest

# RFC 9110 section 7.2 (uri-host, optional port) without what only serves to confuse: user information, escapes,
# empty labels, an empty port. The underscore is no host name (RFC 952) but is common in clusters.
_NAME: Final = re.compile(r"((?:[a-z0-9_-]+\.)*[a-z0-9_-]+)\.?(?::([0-9]{1,5}))?\Z")
_IPV6: Final = re.compile(r"\[([0-9a-f:.]{2,45})\](?::([0-9]{1,5}))?\Z")
_LONGEST: Final = 253
_LONGEST_AUTHORITY: Final = _LONGEST + len(".:65535")


@lru_cache(maxsize=1024)
def read(authority: str) -> str:
    """The host of a Host or `:authority` header; an IPv6 address in brackets, in its shortest spelling.

    Raises:
        MalformedRequest: it is empty or malformed.
    """
    if len(authority) > _LONGEST_AUTHORITY:
        raise _refused("the host is too long")
    if not authority.isascii():
        raise _refused("the host holds a byte above 0x7F")
    lower = authority.lower()
    found = _NAME.match(lower)
    if found is None:
        return _ipv6(lower)
    host, port = found.groups()
    if len(host) > _LONGEST:
        raise _refused("the host is too long")
    if port is not None:
        _check(port)
    return host


def _ipv6(lower: str) -> str:
    found = _IPV6.match(lower)
    if found is None:
        raise _refused("the host is malformed")
    address, port = found.groups()
    if port is not None:
        _check(port)
    try:
        return f"[{IPv6Address(address).compressed}]"
    except ValueError:
        raise _refused("the host is malformed") from None


def _check(port: str) -> None:
    if int(port) > 65535:
        raise _refused("the port of the host is too large")


def _refused(message: str) -> MalformedRequest:
    return MalformedRequest(message, reason="malformed-host")
