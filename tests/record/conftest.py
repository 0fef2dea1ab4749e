"""Fixtures for what exports spans."""

from collections.abc import Iterator

import pytest
from otlp_receivers import Receiver
from record.exporting import PROTOCOLS, RECEIVERS


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    """Each of OTLP's two ways."""
    found: str = request.param
    return found


@pytest.fixture
def receiver(protocol: str) -> Iterator[Receiver]:
    """A real receiver that speaks it."""
    with RECEIVERS[protocol]() as found:
        yield found
