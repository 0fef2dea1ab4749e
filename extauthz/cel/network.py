"""IP addresses and networks (the network extension)."""

import ipaddress
from typing import Final, final

from extauthz.cel.errors import EvalError
from extauthz.values.quoting import given

_LONGEST: Final = 45
"""Characters of an address, also of one that is refused for its form."""
_BITS: Final = {4: 32, 6: 128}


@final
class IPAddress:
    """An IPv4 or IPv6 address; an IPv4 address written as an IPv6 one (`::ffff:c0a8:1`) is the IPv4 address."""

    __slots__ = ("family", "number")

    def __init__(self, family: int, number: int) -> None:
        if family == 6 and number >> 32 == 0xFFFF:
            family, number = 4, number & 0xFFFF_FFFF
        self.family = family
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IPAddress) and self.number == other.number and self.family == other.family

    def __hash__(self) -> int:
        return hash((self.family, self.number))

    def __str__(self) -> str:
        return str(ipaddress.IPv4Address(self.number) if self.family == 4 else ipaddress.IPv6Address(self.number))

    def __repr__(self) -> str:
        return f"IPAddress({self.family}, {self.number})"


@final
class Network:
    """A network in CIDR notation; `address` is as written, host bits included."""

    __slots__ = ("address", "length", "shift")

    def __init__(self, address: IPAddress, length: int) -> None:
        self.address = address
        self.length = length
        self.shift = _BITS[address.family] - length

    def contains(self, address: IPAddress) -> bool:
        own = self.address
        return own.family == address.family and not (own.number ^ address.number) >> self.shift

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and self.address == other.address and self.length == other.length

    def __hash__(self) -> int:
        return hash((self.address, self.length))

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"

    def __repr__(self) -> str:
        return f"Network({self.address!r}, {self.length})"


def parse_address(text: str) -> IPAddress:
    """ip(string): no zone, no leading zeros, and no IPv4 address in dotted form within an IPv6 address."""
    if len(text) > _LONGEST:
        raise EvalError(f"{given(text)} is no IP address")
    try:
        if ":" not in text:
            return IPAddress(4, int(ipaddress.IPv4Address(text)))
        if "." in text:
            raise EvalError("an IPv4 address within an IPv6 address is not allowed")
        if "%" in text:
            raise EvalError("an IP address with a zone is not allowed")
        return IPAddress(6, int(ipaddress.IPv6Address(text)))
    except ValueError:
        raise EvalError(f"{given(text)} is no IP address") from None


def parse_network(text: str) -> Network:
    """cidr(string): an address and the length of its prefix; an IPv6 one has no IPv4 address in it."""
    written, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdecimal()) or len(length) > 3:
        raise EvalError(f"{given(text)} is no network; write an address, `/` and a length")
    address = parse_address(written)
    if ":" in written and address.family == 4:
        raise EvalError("an IPv4 address within an IPv6 network is not allowed")
    bits = int(length)
    if bits > _BITS[address.family] or (len(length) > 1 and length[0] == "0"):
        raise EvalError(f"{given(text)} is no network; its prefix has {_BITS[address.family]} bits at most")
    return Network(address, bits)
