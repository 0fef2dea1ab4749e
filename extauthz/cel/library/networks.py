"""The network extension: `ip()`, `cidr()` and what they tell."""

from collections.abc import Callable
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.network import IPAddress, Network, parse_address, parse_network
from extauthz.cel.types import BOOL, CIDR, INT, IP, STRING

_LINK_LOCAL_MULTICAST: Final = (parse_network("224.0.0.0/24"), parse_network("ff02::/16"))
_LINK_LOCAL: Final = (parse_network("169.254.0.0/16"), parse_network("fe80::/10"))
_LOOPBACK: Final = (parse_network("127.0.0.0/8"), parse_network("::1/128"))
_MULTICAST: Final = (parse_network("224.0.0.0/4"), parse_network("ff00::/8"))
_BROADCAST: Final = parse_address("255.255.255.255")


def _within(networks: tuple[Network, ...]) -> Callable[[IPAddress], bool]:
    def within(address: IPAddress) -> bool:
        return any(network.contains(address) for network in networks)

    return within


_is_loopback = _within(_LOOPBACK)
_is_multicast = _within(_MULTICAST)
_is_link_local = _within(_LINK_LOCAL)


def _is_unspecified(address: IPAddress) -> bool:
    return address.number == 0


def _is_global_unicast(address: IPAddress) -> bool:
    """Neither unspecified, loopback, multicast, link-local nor the broadcast address; private ones are."""
    return not (
        _is_unspecified(address)
        or _is_loopback(address)
        or _is_multicast(address)
        or _is_link_local(address)
        or address == _BROADCAST
    )


def _is_ip(text: str) -> bool:
    try:
        parse_address(text)
    except EvalError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(parse_address(text)) == text


def _family(address: IPAddress) -> int:
    return address.family


def _contains_address(network: Network, address: IPAddress) -> bool:
    return network.contains(address)


def _contains_text(network: Network, text: str) -> bool:
    return network.contains(parse_address(text))


def _contains_network(network: Network, other: Network) -> bool:
    return network.length <= other.length and network.contains(other.address)


def _contains_network_text(network: Network, text: str) -> bool:
    return _contains_network(network, parse_network(text))


def _address(network: Network) -> IPAddress:
    return network.address


def _length(network: Network) -> int:
    return network.length


def _masked(network: Network) -> Network:
    """The network with the bits of hosts cleared."""
    number = network.address.number >> network.shift << network.shift
    return Network(IPAddress(network.address.family, number), network.length)


def functions() -> list[Function]:
    """The functions and methods of addresses and networks."""
    tests = {
        "isUnspecified": _is_unspecified,
        "isLoopback": _is_loopback,
        "isGlobalUnicast": _is_global_unicast,
        "isLinkLocalMulticast": _within(_LINK_LOCAL_MULTICAST),
        "isLinkLocalUnicast": _is_link_local,
    }
    return [
        Function(
            "ip",
            [
                Overload("string_to_ip", (STRING,), IP, parse_address),
                Overload("cidr_ip", (CIDR,), IP, _address, True, total=True),
            ],
        ),
        Function("cidr", [Overload("string_to_cidr", (STRING,), CIDR, parse_network)]),
        Function("isIP", [Overload("is_ip", (STRING,), BOOL, _is_ip, total=True)]),
        Function("ip.isCanonical", [Overload("ip_is_canonical", (STRING,), BOOL, _is_canonical)]),
        Function("family", [Overload("ip_family", (IP,), INT, _family, True, total=True)]),
        *(
            Function(name, [Overload(f"ip_{name}", (IP,), BOOL, test, True, total=True)])
            for name, test in tests.items()
        ),
        Function(
            "containsIP",
            [
                Overload("cidr_contains_ip", (CIDR, IP), BOOL, _contains_address, True, total=True),
                Overload("cidr_contains_ip_string", (CIDR, STRING), BOOL, _contains_text, True),
            ],
        ),
        Function(
            "containsCIDR",
            [
                Overload("cidr_contains_cidr", (CIDR, CIDR), BOOL, _contains_network, True, total=True),
                Overload("cidr_contains_cidr_string", (CIDR, STRING), BOOL, _contains_network_text, True),
            ],
        ),
        Function("prefixLength", [Overload("cidr_prefix_length", (CIDR,), INT, _length, True, total=True)]),
        Function("masked", [Overload("cidr_masked", (CIDR,), CIDR, _masked, True, total=True)]),
        Function(
            "string",
            [
                Overload("ip_to_string", (IP,), STRING, str, total=True),
                Overload("cidr_to_string", (CIDR,), STRING, str, total=True),
            ],
        ),
    ]
