"""Who is asked what: the one way from a question of `identity.lookups` to whoever can answer it.

The rule: a question always gets an answer. Nobody to ask, nobody there, nonsense in reply: all of it is `Unreachable`,
never an exception and never a yes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Self, TypeVar

import structlog

from extauthz.errors import IssuerUnavailable
from extauthz.identity.lookups import Answer, Answers, Awaiting, Lookup, Unreachable

MOST_ROUNDS: Final = 4
"""How often the answers to some questions may lead to others."""

Known = TypeVar("Known")
Ask = Callable[[Lookup], Awaitable[Answer]]

_log = structlog.get_logger(__name__)


class Inquiries:
    """Asks; `informants` are who is asked, by the kind of the question. Belongs to one event loop."""

    def __init__(self, informants: Mapping[type[Lookup], Ask]) -> None:
        self._informants = informants

    def beside(self, informants: Mapping[type[Lookup], Ask]) -> Self:
        """The same, with `informants` for their kinds of questions."""
        return type(self)({**self._informants, **informants})

    async def until_known(self, awaiting: Awaiting, identify: Callable[[Answers], Known | Awaiting]) -> Known:
        """What `identify` makes of the answers to what is awaited, and to what it then asks for.

        Raises `IssuerUnavailable` if it never comes to an end, and what `identify` raises.
        """
        answers: dict[Lookup, Answer] = {}
        for _ in range(MOST_ROUNDS):
            given = await asyncio.gather(*(self.ask(lookup) for lookup in awaiting.lookups))
            answers.update(zip(awaiting.lookups, given, strict=True))
            known = identify(answers)
            if not isinstance(known, Awaiting):
                return known
            awaiting = known
        raise IssuerUnavailable(f"`{awaiting.lookups[0].source}` is asked again and again")

    async def ask(self, lookup: Lookup) -> Answer:
        """The answer to one question; where there is nobody to ask, that nobody can be reached."""
        ask = self._informants.get(type(lookup))
        if ask is None:
            return Unreachable(detail=f"nobody can be asked about `{lookup.source}`")
        try:
            return await ask(lookup)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            _log.exception("inquiry-failed", source=lookup.source)
            return Unreachable(detail=type(error).__name__)


NO_INQUIRIES: Final = Inquiries({})
"""Nobody can be asked: every source is known from files."""
