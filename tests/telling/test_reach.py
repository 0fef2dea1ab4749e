"""What is on the internet, what is not, and in which disguises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.approval.telling.reach import Reach, networks_of

OUTSIDE = ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
INSIDE = """
    0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254 172.16.0.1 192.0.0.8 192.0.2.1
    192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:7f00:1 64:ff9b::127.0.0.1
    64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1 2002:a00:1:: 3fff::1 fc00::1 fd00:ec2::254 fe80::1
    fe80::1%eth0 fec0::1 ff02::1
""".split()  # noqa: SIM905 - a table is read more easily


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_internet_is_reached(address: str) -> None:
    assert Reach().allows(address)


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside_of_a_network_is_not_reached_in_any_disguise(address: str) -> None:
    assert not Reach().allows(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "8.8.8.8:80", "[::1]", "8.8.8.8/0"]
)
def test_what_is_no_address_is_not_reached(text: str) -> None:
    assert not Reach(networks=networks_of(["0.0.0.0/0", "::/1"])).allows(text)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::"])
def test_a_network_that_is_named_is_reached_in_any_disguise(address: str) -> None:
    reach = Reach(networks=networks_of(["10.1.0.0/16", "fd00::/8"]))
    assert reach.allows(address)
    assert reach.allows("fd12::1")
    assert not reach.allows("10.2.0.1")
    assert not reach.allows("fe80::1")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_inside_of_an_ipv6_one(address: object) -> None:
    assert Reach().allows(f"::ffff:{address}") == Reach().allows(str(address)) == Reach().allows(f"64:ff9b::{address}")


@pytest.mark.parametrize("text", ["10.1.0.1/16", "10.1.0.0/33", "local", "", "::ffff:10.0.0.0/104"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        networks_of([text])
