"""One site for all of these tests: each leaves it healed."""

import os
from collections.abc import Iterator

import pytest
from partition.site import Site, running_site

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Two replicas, a Redis and an Envoy on hosts of their own."""
    try:
        find_envoy()
    except ConfigurationError as error:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with running_site() as running:
        yield running
