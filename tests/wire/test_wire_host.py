"""The canonical host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import MalformedRequest
from extauthz.wire.host import read

HOSTS = [
    ("example.com", "example.com"),
    ("EXAMPLE.com", "example.com"),
    ("example.com:443", "example.com"),
    ("example.com:0", "example.com"),
    ("example.com:65535", "example.com"),
    ("example.com.", "example.com"),
    ("example.com.:8443", "example.com"),
    ("localhost", "localhost"),
    ("my_service.ns.svc.cluster.local", "my_service.ns.svc.cluster.local"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("10.0.0.1", "10.0.0.1"),
    ("10.0.0.1:80", "10.0.0.1"),
    ("[::1]", "[::1]"),
    ("[::1]:8080", "[::1]"),
    ("[2001:DB8::0:1]", "[2001:db8::1]"),
    ("a" * 63 + ".example", "a" * 63 + ".example"),
]
REFUSED = [
    "",
    ".",
    "..",
    "example.com..",
    ".example.com",
    "a..b",
    ":80",
    "example.com:",
    "example.com:x",
    "example.com:65536",
    "example.com:123456",
    "example.com:80:80",
    "user@example.com",
    "a b",
    " example.com",
    "example.com ",
    "example.com\n",
    "example.com/",
    "example.com?a",
    "example.com#a",
    "a,b",
    "example.com,evil.com",
    "a%2eb",
    "b\u00fccher.example",
    "\u212aelvin.example",
    "a\0b",
    "[::1",
    "::1",
    "[::1]x",
    "[::1]:",
    "[::1]:99999",
    "[::g]",
    "[fe80::1%25eth0]",
    "[]",
    "a" * 254,
    "*.example.com",
]


@pytest.mark.parametrize(("authority", "host"), HOSTS)
def test_a_host_has_one_spelling(authority: str, host: str) -> None:
    assert read(authority) == host


@pytest.mark.parametrize("authority", REFUSED)
def test_a_host_that_could_be_two_is_refused(authority: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(authority)
    assert refused.value.reason == "malformed-host"


@given(st.text(alphabet="aB1-_.:[]%@ 0fF", max_size=20) | st.text(max_size=20))
def test_the_canonical_host_is_idempotent(authority: str) -> None:
    try:
        host = read(authority)
    except MalformedRequest:
        return
    assert read(host) == host == host.lower()
