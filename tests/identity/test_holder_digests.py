"""Digests of holders and sessions are over parts that can't run into each other: grants that are stored name them."""

import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from extauthz.identity.holders import holders, session_of_sid


def digest(*parts: str) -> str:
    return sha256(json.dumps(parts).encode("ascii")).hexdigest()


@given(st.text(), st.text(min_size=1))
def test_they_are_over_the_json_of_the_parts(one: str, other: str) -> None:
    assert session_of_sid(one, other) == "sid:" + digest(one, other)
    held = holders(workload=one, certificate="", key="", address=other, secret=None)
    assert held == {"peer:" + digest(one, other)}
