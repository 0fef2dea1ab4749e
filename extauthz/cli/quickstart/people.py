"""Who takes part in the demo, and what the tokens say about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TRUST_DOMAIN = "prod.example.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer: `sub` of the token, the name that pages show, and the claims that policies read."""

    sub: str
    name: str
    claims: Mapping[str, Any] = field(default_factory=dict)


ALICE = Person(sub="alice", name="Alice", claims={"accounts": ["acc-1", "acc-13"]})
BOB = Person(sub="bob", name="Bob", claims={"accounts": ["acc-2"]})
PEOPLE = (ALICE, BOB)

# File name of the certificate and SPIFFE ID.
WORKLOADS: Mapping[str, str] = {
    "shop": f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/web",
    "reports": f"spiffe://{TRUST_DOMAIN}/ns/finance/sa/reports",
    "ci": f"spiffe://{TRUST_DOMAIN}/ns/ci/sa/runner",
}
