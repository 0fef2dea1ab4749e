"""Every store that there is, for the one suite that they all pass."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store.one_loop import run, runner

from extauthz.store.open import open_store
from extauthz.store.protocol import Store

URLS = {"memory": "memory:", "sqlite": "sqlite:///state.db"}


@pytest.fixture(scope="session", autouse=True)
def _loop() -> Iterator[None]:
    yield
    runner.close()


@pytest.fixture(params=list(URLS.values()), ids=list(URLS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    made = open_store(request.param, base=tmp_path)
    yield made
    run(made.close())
