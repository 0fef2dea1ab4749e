from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.checks import build_request

from extauthz.identity.address import canonical, client_ip
from extauthz.identity.config import ClientSettings
from extauthz.values.request import Peer, RequestView

CLIENT, PROXY, PEER = "203.0.113.9", "198.51.100.1", "10.0.0.1"


@pytest.mark.parametrize(
    ("hops", "xff", "header", "expected"),
    [
        # no trusted hops: Envoy's peer, whatever the header says
        (0, "appended", None, PEER),
        (0, "appended", f"{CLIENT},{PEER}", PEER),
        (0, "untouched", CLIENT, PEER),
        # use_remote_address: the last entry is Envoy's own
        (1, "appended", f"{CLIENT}, {PEER}", CLIENT),
        (1, "appended", f"9.9.9.9,{CLIENT},{PEER}", CLIENT),
        (2, "appended", f"9.9.9.9,{CLIENT},{PROXY},{PEER}", CLIENT),
        # without it the last entry is the proxy's
        (1, "untouched", CLIENT, CLIENT),
        (1, "untouched", f"9.9.9.9,{CLIENT}", CLIENT),
        (2, "untouched", f"9.9.9.9,{CLIENT},{PROXY}", CLIENT),
        # fewer entries than proxies: somebody went round them
        (1, "appended", None, ""),
        (1, "appended", PEER, ""),
        (2, "untouched", PROXY, ""),
        (1, "untouched", "", ""),
        # the deciding entry is no address
        (1, "untouched", "unknown", ""),
        (1, "untouched", f"{CLIENT},", ""),
        (1, "untouched", "203.0.113.9 198.51.100.1", ""),
        # others may be anything
        (1, "appended", f"<script>,,{CLIENT},{PEER}", CLIENT),
    ],
)
def test_hops_are_counted_from_the_right(hops: int, xff: str, header: str | None, expected: str) -> None:
    request = build_request({} if header is None else {"x-forwarded-for": header}, ip=PEER)
    settings = ClientSettings.model_validate({"trusted_hops": hops, "xff": xff})
    assert client_ip(request, settings) == expected


def test_repeated_headers_are_one_list() -> None:
    request = build_request({"x-forwarded-for": [f"9.9.9.9, {CLIENT}", PEER]}, ip=PEER)
    assert client_ip(request, ClientSettings(trusted_hops=1)) == CLIENT


def test_a_tcp_check_has_only_the_peer() -> None:
    request = RequestView(source=Peer(ip=PEER))
    assert client_ip(request, ClientSettings()) == PEER
    assert client_ip(request, ClientSettings(trusted_hops=1)) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::FFFF:c000:201]:1", "192.0.2.1"),
        ("192.0.2.01", ""),
        ("192.0.2.1.", ""),
        ("192.0.2", ""),
        ("3221225985", ""),
        ("0x7f.1", ""),
        ("fe80::1%eth0", ""),
        ("fe80::1%" + "x" * 500, ""),
        ("[192.0.2.1", ""),
        ("2001:db8::1]:1", ""),
        ("/run/envoy.sock", ""),
        ("", ""),
    ],
)
def test_an_address_has_one_spelling(text: str, expected: str) -> None:
    assert canonical(text) == expected


@given(forged=st.lists(st.text(max_size=20), max_size=4), hops=st.integers(1, 3))
def test_what_the_client_writes_never_moves_its_address(forged: list[str], hops: int) -> None:
    trusted = [CLIENT, *[PROXY] * (hops - 1)]
    settings = ClientSettings(trusted_hops=hops, xff="untouched")
    header = ",".join([*forged, *trusted])
    assert client_ip(build_request({"x-forwarded-for": header}), settings) == CLIENT


@given(
    parts=st.lists(st.integers(0, 300).map(str) | st.from_regex(r"[0-9٣]{1,4}", fullmatch=True), min_size=3, max_size=5)
)
def test_four_numbers_are_an_address_where_the_standard_library_says_so(parts: list[str]) -> None:
    text = ".".join(parts)
    try:
        expected = str(IPv4Address(text))
    except ValueError:
        expected = ""
    assert canonical(text) == expected
    assert canonical(f"{text}\n") == ""
