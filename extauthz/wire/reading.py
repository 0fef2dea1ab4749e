"""How requests are read where they could be read in several ways: the operator's word, in one value."""

from dataclasses import dataclass
from typing import Final

from extauthz.values.request import Messages


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What `wire.decode` is told.

    `accept` relaxes the canonical path, see `wire.path.ACCEPTABLE`. `buffered` is whether routes buffer bodies for a
    check that have no word of their own, see `wire.body`. `messages` knows the types of gRPC calls, `None` if nobody
    described them.
    """

    accept: frozenset[str] = frozenset()
    buffered: bool = False
    messages: Messages | None = None


STRICT: Final = Reading()
"""Nothing is relaxed, nothing is declared."""
