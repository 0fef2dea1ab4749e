"""What a store tells those who listen."""

import asyncio
from collections.abc import AsyncIterator

from extauthz.store.approvals import News
from extauthz.store.protocol import Store


def listening(store: Store) -> AsyncIterator[News]:
    return store.approval_news()


async def heard(news: AsyncIterator[News], *expected: str) -> None:
    """Until news have come of all these."""
    missing = set(expected)
    async with asyncio.timeout(20):
        while missing:
            one = await anext(news)
            missing -= missing if one.everything else one.ids
