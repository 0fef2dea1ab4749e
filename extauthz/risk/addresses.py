"""Sets of addresses: the networks of an office, of a cloud, of the exits of a network that hides callers.

Pure: text comes in. The rule kept here: a list with one line that can't be read is no list, and neither is an empty
one. What a set lets through, or keeps out, must not depend on how far somebody got with writing it.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from extauthz.cel import EvalError, IPAddress, Network
from extauthz.cel.network import parse_address, parse_network

MOST_NETWORKS: Final = 100_000
"""Of one set."""
_COMMENT: Final = ("#", ";")
_LONGEST_SHOWN: Final = 60
_parsed: Final = lru_cache(maxsize=4096)(parse_address)


class AddressSet:
    """The addresses of some networks of both families. A look-up takes as many steps as its networks have digits."""

    __slots__ = ("_four", "_six", "size")

    def __init__(self, networks: Iterable[Network]) -> None:
        found = list(networks)
        self.size = len(found)
        """How many networks it was made of."""
        four, six = (_joined(one for one in found if one.address.family == family) for family in (4, 6))
        self._four = (array("L", four[0]), array("L", four[1]))
        self._six = six

    def holds(self, address: str) -> bool:
        """Whether an address, in any spelling of it, is in one of the networks. Raises `EvalError` if it is none."""
        return _parsed(address) in self

    def __contains__(self, address: IPAddress) -> bool:
        firsts, lasts = self._four if address.family == 4 else self._six
        index = bisect_right(firsts, address.number) - 1
        return index >= 0 and address.number <= lasts[index]


def _joined(networks: Iterable[Network]) -> tuple[Sequence[int], Sequence[int]]:
    """The first and the last addresses of networks in order, those that meet or lie in one another as one."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(map(_ends, networks)):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts


def _ends(network: Network) -> tuple[int, int]:
    first = network.address.number
    return first, first + (1 << network.shift) - 1


def parse_entry(text: str) -> Network:
    """The network that a line of a list names, `192.0.2.0/24`; or the one address, `2001:db8::1`.

    Raises:
        ValueError: it names none, or has bits behind its prefix: then nobody knows whether one address is meant or all.
    """
    shown = f"`{text[:_LONGEST_SHOWN]}`"
    try:
        if "/" not in text:
            address = parse_address(text)
            return Network(address, 32 if address.family == 4 else 128)
        network = parse_network(text)
    except EvalError:
        raise ValueError(
            f"{shown} is neither an address nor a network; write `192.0.2.0/24` or `2001:db8::1`"
        ) from None
    own = network.address
    first = IPAddress(own.family, own.number >> network.shift << network.shift)
    if first != own:
        raise ValueError(f"{shown} has bits behind its prefix; write `{first}/{network.length}`, or `{own}` alone")
    return network


def parse_list(text: str, *, breathe: Callable[[], object] = lambda: None) -> AddressSet:
    """The set of a list with one entry a line; what follows `#` or `;` is a comment. `breathe` is called often.

    Every line has an end: a list that is still being written is most often seen by that it has none.

    Raises:
        ValueError: the message begins with the 1-based number of the line, if one is wrong.
    """
    networks = []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = _without_comment(line)
        if not entry:
            continue
        try:
            networks.append(parse_entry(entry))
        except ValueError as error:
            raise ValueError(f"{number}: {error}") from None
        if len(networks) > MOST_NETWORKS:
            raise ValueError(f"{number}: more than {MOST_NETWORKS} networks; join those that belong together")
        breathe()
    # `128.0.0.0/16` cut off is `128.0.0.0/1`.
    if networks and not text.endswith("\n"):
        raise ValueError(f"{number}: the last line has no end, as if the rest of the file were missing; end it")
    if not networks:
        raise ValueError("1: no network in it; a list that is meant to be empty has no use: remove it")
    return AddressSet(networks)


def _without_comment(line: str) -> str:
    for mark in _COMMENT:
        line = line.partition(mark)[0]
    return line.strip()
