from collections.abc import Iterator

import pytest
from publishing import Site, publishing


@pytest.fixture
def site() -> Iterator[Site]:
    """Where keys are published, in the clear and on loopback."""
    with publishing() as running:
        yield running
