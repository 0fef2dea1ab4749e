"""Ids by their beginnings: one, none, or a refusal, whatever there is."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling.telling_parts import NOW, an_approval

from extauthz.cli.approval_answers import NotDone
from extauthz.cli.approval_ids import FEWEST, kept, meant
from extauthz.store.approvals import Opened
from extauthz.store.memory import MemoryStore

IDS = st.lists(st.text(alphabet="01", min_size=6, max_size=8), max_size=6, unique=True)


@given(ids=IDS, beginning=st.text(alphabet="01", min_size=FEWEST, max_size=8))
def test_a_beginning_means_one_or_none_or_is_refused(ids: list[str], beginning: str) -> None:
    fitting = [id_ for id_ in ids if id_.startswith(beginning)]
    if len(fitting) > 1:
        with pytest.raises(NotDone) as refused:
            meant(beginning, ids)
        assert all(id_ in str(refused.value) for id_ in fitting[:2])
        assert "\n" not in str(refused.value)
    else:
        assert meant(beginning, ids) == (fitting[0] if fitting else None)


@pytest.mark.parametrize("beginning", ["", "a", "abc"])
def test_what_is_too_short_means_nobody_even_where_there_is_one(beginning: str) -> None:
    with pytest.raises(NotDone, match="too short"):
        meant(beginning, ["abcdef"])


def test_a_beginning_is_looked_for_in_the_whole_store() -> None:
    async def look() -> None:
        store = MemoryStore()
        for number in range(300):
            id_ = f"{number:04x}".ljust(32, "0")
            one = an_approval(id=id_, key=str(number), binding=str(number), opened_at=NOW + number)
            opening = await store.open_approval(one, keep=3600, most_open=1000, now=NOW)
            assert opening.how is Opened.OPENED
        found = await kept(store, "0000")
        assert found is not None
        assert found.id == "0" * 32
        assert await kept(store, "ffff") is None
        assert await kept(store, "f" * 32) is None
        await store.close()

    asyncio.run(look())
