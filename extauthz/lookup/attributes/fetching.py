"""What every way to ask a source has in common.

The rule: there is an answer of the source, or an error that says whose fault it is. Nothing in between is passed on.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from extauthz.errors import ExtauthzError
from extauthz.policy.plain import Json


class Unusable(ExtauthzError):
    """The source is there and gave no answer that can be used. The message is for the operator."""


class Unaskable(ExtauthzError):
    """This can't be asked: not a failure of the source, and nobody was asked. The message names no value."""


class Fetcher(Protocol):
    """Asks one source. Belongs to one event loop."""

    def check(self, asked: Mapping[str, Json]) -> None:
        """Return if this can be asked; else raise `Unaskable`. It is up to who sends the request, not to the source."""

    async def fetch(self, asked: Mapping[str, Json]) -> Mapping[str, Any] | None:
        """The members of what it answers, as JSON has them; `None` if it says that nothing is known.

        `asked` was checked.

        Raises:
            OutOfReach: it gives no answer.
            Unusable: it gives none that can be used.
            ConfigurationError: a file that is needed to ask it can't be used.
        """

    async def open(self) -> None:
        """Get ready to ask. Raises `ConfigurationError` for a file that can't be used."""

    async def close(self) -> None:
        """Close the connections."""
