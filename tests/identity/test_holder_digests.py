"""Digests of holders and sessions are over parts that can't run into each other: grants that are stored name them."""

import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from extauthz.identity.holders import holders, session_of_sid
from extauthz.values.identity import holder_of_cookie

TEXT = st.sampled_from(["", "c", "k"])
SECRET = "s" * 22


def digest(*parts: str) -> str:
    return sha256(json.dumps(parts).encode("ascii")).hexdigest()


@given(st.text(), st.text(min_size=1))
def test_they_are_over_the_json_of_the_parts(one: str, other: str) -> None:
    assert session_of_sid(one, other) == "sid:" + digest(one, other)
    held = holders(workload=one, certificate="", key="", address=other, secret=None)
    assert held == {"peer:" + digest(one, other)}


@given(TEXT, TEXT, TEXT, st.none() | st.just(SECRET), st.frozensets(st.sampled_from(["peer:1", "cert:c", "dpop:k"])))
def test_what_is_held_is_a_set_like_any_other(
    certificate: str, key: str, address: str, secret: str | None, other: frozenset[str]
) -> None:
    held = holders(workload="w", certificate=certificate, key=key, address=address, secret=secret)
    plain = frozenset(
        text
        for said, text in (
            (certificate, f"cert:{certificate}"),
            (key, f"dpop:{key}"),
            (address, "peer:" + digest("w", address)),
            (secret, "" if secret is None else holder_of_cookie(secret)),
        )
        if said
    )
    assert held == plain
    assert plain == held
    assert held == holders(workload="w", certificate=certificate, key=key, address=address, secret=secret)
    assert (hash(held), bool(held), len(held), sorted(held)) == (hash(plain), bool(plain), len(plain), sorted(plain))
    assert all((text in held) == (text in plain) for text in (*plain, *other))
    assert (held & other, held | other, held - other, other - held) == (
        plain & other,
        plain | other,
        plain - other,
        other - plain,
    )
    assert (held <= other, held >= other, held.isdisjoint(other)) == (
        plain <= other,
        plain >= other,
        plain.isdisjoint(other),
    )
