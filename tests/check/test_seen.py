"""What was seen lately: the very objects, and no more of them than there is room for."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extauthz.values.identity import Identity
from extauthz.values.seen import Seen


@given(st.integers(1, 3_000), st.integers(0, 7))
def test_only_the_very_objects_that_were_added_were_seen(count: int, turn: int) -> None:
    seen = Seen()
    identities = [Identity(client_ip="192.0.2.1") for _ in range(count)]
    assert not any(map(seen.has, identities))
    added = [identity for number, identity in enumerate(identities) if number % 8 != turn]
    for identity in added:
        seen.add(identity)
        assert seen.has(identity)
        assert not seen.has(replace(identity))
    assert not any(seen.has(identity) for number, identity in enumerate(identities) if number % 8 == turn)
    assert sum(map(seen.has, added)) <= 1_021
