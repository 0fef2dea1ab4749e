from collections.abc import Iterator

import pytest
from publishing import Site, publishing


@pytest.fixture
def site() -> Iterator[Site]:
    """A source that answers over HTTP, in the clear and on loopback."""
    with publishing() as running:
        yield running
