"""Who acts for the user (RFC 8693 section 4.1)."""

from typing import Any

import pytest
from identity.issuer import ISSUER, good_claims

from extauthz.errors import InvalidCredential
from extauthz.identity.actors import MAX_ACTORS, actor


def chain(length: int) -> dict[str, Any]:
    """Claims with so many actors, one inside of the other."""
    claims: dict[str, Any] = {}
    for number in range(length):
        claims = {"act": {"sub": f"a{number}", "iss": ISSUER, **claims}}
    return good_claims() | claims


def test_without_the_claim_nobody_acts() -> None:
    assert actor(good_claims()) is None


def test_the_chain_is_what_the_token_says() -> None:
    said = {"sub": "agent", "iss": "https://other.example", "client_id": "c", "act": {"sub": "tool"}}
    assert actor({"act": said}) == said


@pytest.mark.parametrize(
    "said",
    [
        None,
        "agent",
        ["agent"],
        {},
        {"sub": ""},
        {"sub": None},
        {"sub": 1},
        {"client_id": "agent"},
        {"sub": "agent", "iss": ""},
        {"sub": "SPIFFE://prod.example.org/ns/shop/sa/web"},
        {"sub": "spiffe://PROD.example.org/ns/shop/sa/web"},
        {"sub": "spiffe://prod.example.org/ns/shop/sa/web/"},
        {"sub": "spiffe://prod.example.org:443/ns/shop/sa/web"},
        {"sub": "spiffe://prod.example.org/ns/%73hop/sa/web"},
        {"sub": "agent", "iss": None},
        {"sub": "agent", "iss": [ISSUER]},
        {"sub": "agent", "act": None},
        {"sub": "agent", "act": "tool"},
        {"sub": "agent", "act": {}},
        {"sub": "agent", "act": {"sub": "tool", "act": {"sub": 7}}},
    ],
)
def test_a_link_that_nobody_can_name_refuses_the_token(said: object) -> None:
    with pytest.raises(InvalidCredential):
        actor({"act": said})


def test_the_chain_is_bounded() -> None:
    assert actor(chain(MAX_ACTORS)) is not None
    for length in (MAX_ACTORS + 1, MAX_ACTORS + 100):
        with pytest.raises(InvalidCredential, match=f"more than {MAX_ACTORS}"):
            actor(chain(length))
