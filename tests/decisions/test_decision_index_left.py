"""The process that keeps the index is left when its server stops: nothing of it outlives the server's event loop."""

import asyncio
import gc
import os
import sys
from pathlib import Path

import pytest
from patience import comes

from extauthz.app.decision_index import DecisionIndex


def children() -> str:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()


def test_a_process_that_is_left_ends_with_the_loop_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    before = children()

    async def briefly() -> None:
        following = asyncio.create_task(DecisionIndex(tmp_path / "audit.jsonl", tmp_path / "decisions.sqlite").follow())
        assert await asyncio.to_thread(comes, lambda: children() != before)
        following.cancel()
        await asyncio.wait((following,))

    asyncio.run(briefly())
    gc.collect()
    assert children() == before
    assert not complaints
