"""Sets of addresses: a look-up finds what going through all networks would find, and a bad list is none."""

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import cel
from extauthz.cel.network import parse_address
from extauthz.risk.addresses import MOST_NETWORKS, AddressSet, parse_entry, parse_list

LIST = """\
# The office, and who may stand in for it.
192.0.2.0/24
198.51.100.7      # the printer
  203.0.113.128/25 ; from a feed

2001:db8::/32
2001:db8:ffff::1
"""

_parts = st.tuples(st.integers(0, 255), st.integers(0, 3), st.integers(0, 255))


def _address(family: int, parts: tuple[int, int, int]) -> Any:
    """One of few places in a big space, so that networks meet."""
    high, middle, low = parts
    if family == 4:
        return ipaddress.IPv4Address(high << 24 | middle << 8 | low)
    return ipaddress.IPv6Address(high << 120 | middle << 64 | low)


addresses = st.builds(_address, st.sampled_from((4, 6)), _parts)
networks = st.builds(
    lambda address, shift: ipaddress.ip_network((address, address.max_prefixlen - shift), strict=False),
    addresses,
    st.integers(0, 32),
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("192.0.1.255", False),
        ("198.51.100.7", True),
        ("198.51.100.6", False),
        ("203.0.113.127", False),
        ("203.0.113.128", True),
        ("2001:db8:1234::", True),
        ("2001:db9::", False),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("::c000:201", False),  # the same number, another family
    ],
)
def test_a_list_is_a_set(address: str, expected: bool) -> None:
    assert (parse_address(address) in parse_list(LIST)) is expected


@pytest.mark.parametrize("text", ["::ffff:c000:201", "2001:0DB8:0000:0000:0000:0000:0000:0001"])
def test_an_address_is_one_however_it_is_written(text: str) -> None:
    assert parse_list(LIST).holds(text)


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.1:80", "192.0.2.01", "192.0.2.0/24", "9" * 100])
def test_what_is_no_address_is_neither_in_a_set_nor_out_of_it(text: str) -> None:
    with pytest.raises(cel.EvalError, match=r"is no IP address|an IPv4 address within"):
        parse_list(LIST).holds(text)


@given(st.lists(networks, min_size=1, max_size=12), st.lists(addresses, max_size=12))
def test_a_look_up_finds_what_going_through_all_networks_finds(ranges: list[Any], probes: list[Any]) -> None:
    found = AddressSet(parse_entry(str(one)) for one in ranges)
    edges = [edge for one in ranges for edge in (int(one[0]) - 1, int(one[0]), int(one[-1]), int(one[-1]) + 1)]
    kinds = [type(one[0]) for one in ranges for _ in range(4)]
    asked = [
        *probes,
        *(kind(edge) for kind, edge in zip(kinds, edges, strict=True) if 0 <= edge < 2 ** kind(0).max_prefixlen),
    ]
    for address in asked:
        expected = any(address in one for one in ranges if one.version == address.version)
        if address.version == 6 and address.ipv4_mapped is not None:
            continue  # it is the IPv4 address, as everywhere
        assert (parse_address(str(address)) in found) is expected


@given(st.permutations(["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "::1", "2001:db8::/32", "2001:db8::/32"]))
def test_the_order_of_lines_is_irrelevant(lines: list[str]) -> None:
    found = parse_list("\n".join(lines) + "\n")
    for address in ("10.255.255.255", "11.0.0.0", "11.255.255.255", "::1", "2001:db8::9"):
        assert parse_address(address) in found
    for address in ("9.255.255.255", "12.0.0.0", "::", "::2", "2001:db9::"):
        assert parse_address(address) not in found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("192.0.2.1/24", "`192.0.2.1/24` has bits behind its prefix; write `192.0.2.0/24`, or `192.0.2.1` alone"),
        (
            "2001:db8::1/32",
            "`2001:db8::1/32` has bits behind its prefix; write `2001:db8::/32`, or `2001:db8::1` alone",
        ),
        ("192.0.2.0/33", "`192.0.2.0/33` is neither an address nor a network"),
        ("192.0.2.0/-1", "`192.0.2.0/-1` is neither an address nor a network"),
        ("192.0.2.0/255.255.255.0", "`192.0.2.0/255.255.255.0` is neither an address nor a network"),
        ("192.0.2", "`192.0.2` is neither an address nor a network"),
        ("192.000.002.001", "`192.000.002.001` is neither an address nor a network"),
        ("192.0.2.1-192.0.2.9", "`192.0.2.1-192.0.2.9` is neither an address nor a network"),
        ("fe80::1%eth0", "`fe80::1%eth0` is neither an address nor a network"),
        ("::ffff:0:0/96", "`::ffff:0:0/96` is neither an address nor a network"),
        ("example.com", "`example.com` is neither an address nor a network"),
        ("<html>" * 1000, "`<html><html>"),
    ],
)
def test_a_list_with_a_bad_line_is_none(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^9: {re.escape(message)}") as caught:
        parse_list(f"{LIST}\n{line}\n192.0.2.9\n")
    assert len(str(caught.value)) < 200


WITHIN_LINES = [length for length in range(1, len(LIST)) if LIST[length - 1] != "\n"]


@given(st.sampled_from(WITHIN_LINES))
def test_a_list_that_is_cut_off_within_a_line_is_none(length: int) -> None:
    with pytest.raises(ValueError, match=r"the last line has no end|no network in it|is neither|has bits"):
        parse_list(LIST[:length])


def test_a_network_that_is_cut_off_is_not_a_wider_one() -> None:
    assert parse_list("128.0.0.0/16\n").size == 1
    with pytest.raises(ValueError, match=r"^2: the last line has no end"):
        parse_list("192.0.2.0/24\n128.0.0.0/1")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n; at all\n"])
def test_an_empty_list_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no network in it"):
        parse_list(text)


def test_a_list_has_an_end() -> None:
    lines = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(MOST_NETWORKS + 1))
    with pytest.raises(ValueError, match=f"^{MOST_NETWORKS + 1}: more than {MOST_NETWORKS} networks; "):
        parse_list("\n".join(lines))


def test_a_network_is_what_cel_calls_one() -> None:
    assert parse_entry("192.0.2.0/24") == cel.compile("cidr('192.0.2.0/24')")({})
