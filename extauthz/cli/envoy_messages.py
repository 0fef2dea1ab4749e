"""How commands import Envoy's messages: they take a second, and few commands need them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from extauthz.cli.interrupts import Importing


@contextmanager
def importing_messages() -> Iterator[None]:
    """Around an import of what writes Envoy's configuration."""
    # They were generated for a pydantic that did not warn of what it will drop in its next major version, which
    # pyproject.toml keeps out.
    with Importing(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
