"""A real SPIRE server and agent, where their binaries are: `make spire` builds them."""

from collections.abc import Iterator

import pytest
from spire.running import Spire, find_spire, running_spire


@pytest.fixture(scope="session")
def spire() -> Iterator[Spire]:
    """One for all tests of the folder; it has the workload `WEB`, and this process is it."""
    with running_spire(find_spire()) as running:
        yield running
