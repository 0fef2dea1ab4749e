"""The relying party in the configuration: what browsers would refuse is refused when it is loaded."""

import pytest
from pydantic import ValidationError

from extauthz.stepup.relying_party import RelyingParty

ORIGINS = ("https://app.example.com",)


def test_a_domain_with_its_origins_is_good() -> None:
    here = RelyingParty(id="localhost", origins=("https://localhost:8443", "https://localhost"))
    assert here.name == "extauthz"
    assert RelyingParty(id="example.com", origins=("https://example.com", *ORIGINS)).origins[1:] == ORIGINS


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::1]", "203.0.113.9"])
def test_a_relying_party_is_no_ip_address(address: str) -> None:
    with pytest.raises(ValidationError, match="is an IP address, and browsers take none"):
        RelyingParty(id=address, origins=ORIGINS)


@pytest.mark.parametrize(
    "id_", ["", "Example.com", "https://example.com", "example.com:443", "example.com.", ".com", "a_b.com", "a" * 64]
)
def test_what_is_no_domain_is_refused(id_: str) -> None:
    with pytest.raises(ValidationError, match="is no domain"):
        RelyingParty(id=id_, origins=ORIGINS)


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example.com",
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://App.example.com",
        "https://user@app.example.com",
        "https://app.example.com?x",
        "https://app.example.com:99999",
        "app.example.com",
        "null",
        "",
        "https://",
    ],
)
def test_what_a_browser_would_write_otherwise_is_no_origin(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        RelyingParty(id="example.com", origins=(origin,))


@pytest.mark.parametrize("origin", ["https://example.org", "https://badexample.com", "https://example.com.evil.org"])
def test_an_origin_is_within_the_domain(origin: str) -> None:
    with pytest.raises(ValidationError, match=r"is not within `example\.com`"):
        RelyingParty(id="example.com", origins=(origin,))


def test_no_origin_and_the_same_twice_are_errors() -> None:
    for origins in ((), ORIGINS * 2):
        with pytest.raises(ValidationError):
            RelyingParty(id="example.com", origins=origins)
