"""Which addresses a webhook may lead to: those of the internet, and those that its configuration names.

The rule: it is the address of the connection that counts, in its innermost form. A name says nothing, whoever answers
for it says what he likes; and an IPv4 address inside of an IPv6 one is that IPv4 address.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import msgspec

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1: the last 32 bits are an IPv4 address."""
_COMPATIBLE: Final = IPv6Network("::/96")
"""RFC 4291 section 2.5.5.1: the last 32 bits are an IPv4 address."""
_NOT_OUTSIDE: Final = (
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215: translated to IPv4 within one network
    IPv6Network("2001::/32"),  # RFC 4380: Teredo, which holds a server and a client
    IPv6Network("fec0::/10"),  # RFC 3879: what was local to a site
    IPv6Network("3fff::/20"),  # RFC 9637: documentation, which older tables do not know
    IPv4Network("192.0.0.0/24"),  # RFC 6890: assignments for protocols, of which no two tables say the same
    IPv4Network("192.88.99.0/24"),  # RFC 7526: relays of 6to4
    IPv4Network("168.63.129.16/32"),  # a cloud's own server, for its machines alone
)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of the internet, and those in `networks`."""

    networks: Networks = ()

    def allows(self, text: str) -> bool:
        """Whether a connection to this address may be made. What is no address is none."""
        try:
            address = innermost(ip_address(text))
        except ValueError:
            return False
        return _is_outside(address) or any(address in network for network in self.networks)


def networks_of(texts: Iterable[str]) -> Networks:
    """The networks that are written as `10.1.0.0/16`, or as one address.

    Raises:
        ValueError: one is none; the message says what to write.
    """
    found = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError:
            raise ValueError(f"`{text}` is no network; write `10.1.0.0/16`, `fd00::/8` or one address") from None
        if isinstance(network, IPv6Network) and innermost(network.network_address) != network.network_address:
            raise ValueError(f"`{text}` holds IPv4 addresses; write them as such")
        found.append(network)
    return tuple(found)


def innermost(address: Address) -> Address:
    """The address that is reached by this one: an IPv4 address if one is inside of it."""
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        address = IPv6Address(int(address))
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_outside(address: Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback)
        and not any(address in network for network in _NOT_OUTSIDE)
    )
