from collections.abc import Iterator

import pytest
from publishing import Site, publishing


@pytest.fixture
def site() -> Iterator[Site]:
    """Where keys are published, in the clear and on loopback."""
    with publishing() as running:
        yield running


@pytest.fixture
def transport() -> str:
    """One of them: what is shown here is the same whatever carries Checks, and `tests/app` shows that on both."""
    return "grpcio"
