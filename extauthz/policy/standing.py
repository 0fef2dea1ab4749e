"""What of a decision is the same for all requests of one caller at one place, with one method: there most conditions
come to the same each time, most others as far as the same headers are there.

The rules kept here: only what can be seen to read nothing else is taken to be the same, and a caller is the same only
if it is the very same value, which never changes. What a client can choose is kept neither often nor where it is long.
"""

from collections.abc import Iterable
from typing import Final

from extauthz.cel import tree
from extauthz.policy.readings import Known
from extauthz.policy.seen import seen_of
from extauthz.values.decisions import Allow, Decision, Deny, Evaluation
from extauthz.values.identity import Identity

Holds = bool | None
"""What a condition came to; `None` is an error."""

MOST_HELD: Final = 8
"""Sets of headers for which a standing keeps what the conditions came to."""
MOST_SETTLED: Final = 8
"""Ways in which the conditions can come out for which a standing keeps what follows."""
_LONGEST_SETTLED: Final = 512
"""Characters that a decision may hold which is kept."""


class Standing:
    """What requests have in common that stand alike: the caller, the place and the method.

    Three memories are asked one after the other. `known` are evaluations by what is read of a request: whoever is found
    there needs no condition. `held` is what the conditions came to, by which of the headers were there that steady ones
    ask for; those that are not steady may come to something else, and are evaluated. `settled` are evaluations whose
    decision depends on who calls and the method alone, by what the conditions came to; what was looked at for them is
    missing.
    """

    __slots__ = ("held", "identity", "known", "settled")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.known: Known | None = None
        self.held: dict[tuple[bool, ...], tuple[Holds, ...]] = {}
        self.settled: dict[tuple[Holds, ...], Evaluation] = {}

    def hold(self, there: tuple[bool, ...], held: Iterable[Holds]) -> None:
        """Remember what the conditions came to where these headers were there."""
        if len(self.held) < MOST_HELD:
            self.held[there] = tuple(held)

    def settle(self, outcome: tuple[Holds, ...], evaluation: Evaluation) -> None:
        """Remember what follows where the conditions come to this."""
        if len(self.settled) < MOST_SETTLED and is_short(evaluation.decision):
            self.settled[outcome] = evaluation


def is_short(decision: Decision, errors: Iterable[str] = ()) -> bool:
    """Whether a memory of a bounded count of decisions, and of errors on the way to them, is one of bounded bytes."""
    match decision:
        case Allow(mutations=changes):
            if changes.append_headers or changes.append_response_headers or changes.metadata:
                return False
            texts = [*changes.headers.values(), *changes.response_headers.values(), *changes.query.values()]
        case Deny(headers=headers, body=body):
            texts = [*headers.values(), body]
        case _:
            return False
    return sum(map(len, (*texts, *errors))) <= _LONGEST_SETTLED


def names_asked_for(root: tree.Expr) -> frozenset[str] | None:
    """The headers, in lower case, of which an expression asks whether they are there, if it reads nothing else but
    constants and what requests that stand alike have in common; `None` if it reads more."""
    seen = seen_of(root)
    return None if seen is None else seen.asks_for


def is_steady(root: tree.Expr) -> bool:
    """Whether an expression comes to the same for all requests that stand alike, whatever headers are there."""
    return names_asked_for(root) == frozenset()
