"""What every way to ask a source has in common.

The rule: there is an answer of the source, or an error that says whose fault it is. Nothing in between is passed on.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from extauthz.errors import ExtauthzError
from extauthz.policy.plain import Json


class Unusable(ExtauthzError):
    """The source is there and gave no answer that can be used. The message is for the operator."""


class Fetcher(Protocol):
    """Asks one source. Belongs to one event loop."""

    async def fetch(self, asked: Mapping[str, Json]) -> Mapping[str, Any] | None:
        """The members of what it answers, as JSON has them; `None` if it says that nothing is known.

        Raises:
            OutOfReach: it gives no answer.
            Unusable: it gives none that can be used.
            ConfigurationError: a file that is needed to ask it can't be used.
        """

    async def close(self) -> None:
        """Close the connections."""
