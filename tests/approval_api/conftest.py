"""The APIs by which approvals are answered, on a store of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from approval_api.answering_people import Desk, answering, configure


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with answering(configure(tmp_path)) as opened:
        yield opened
