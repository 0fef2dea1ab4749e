"""Who is asked what: the one way from a question of `identity.lookups` to whoever can answer it.

The rule: a question always gets an answer. Nobody to ask, nobody there, nonsense in reply: all of it is `Unreachable`,
never an exception and never a yes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from extauthz.identity.lookups import Answer, Lookup, Unreachable

Ask = Callable[[Lookup], Awaitable[Answer]]

_log = structlog.get_logger(__name__)


class Inquiries:
    """Asks; `informants` are who is asked, by the name of the source. Belongs to one event loop."""

    def __init__(self, informants: Mapping[str, Ask]) -> None:
        self._informants = informants

    async def ask(self, lookup: Lookup) -> Answer:
        """The answer to one question; of a source that nobody knows, that it can't be reached."""
        ask = self._informants.get(lookup.source)
        if ask is None:
            return Unreachable(detail=f"nobody knows the source `{lookup.source}`")
        try:
            return await ask(lookup)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            _log.exception("inquiry-failed", source=lookup.source)
            return Unreachable(detail=type(error).__name__)


NO_INQUIRIES: Final = Inquiries({})
"""Nobody can be asked: every source is known from files."""
