"""What of a decision is the same for all requests of one caller at one place, with one method and one set of header
names: there most conditions come to the same each time.

The rule kept here: only what can be seen to read nothing else is taken to be the same, and a caller is the same only if
it is the very same value, which never changes.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.cel import tree
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.header_reads import is_view
from extauthz.values.decisions import Evaluation
from extauthz.values.identity import Identity

Holds = bool | None
"""What a condition came to; `None` is an error."""

MOST_SETTLED: Final = 64
"""Ways in which the conditions can come out for which a standing keeps what follows."""

_TIMED: Final = frozenset({"token_age"})
"""Fields of who calls that depend on the time."""


class Standing:
    """What requests have in common that stand alike: the caller, and which headers there are.

    `held` is what the conditions came to, once that is known; those that are not steady may come to something else.
    `settled` are evaluations whose decision depends on who calls and nothing else, by what the conditions came to;
    what was looked at for them is missing.
    """

    __slots__ = ("held", "identity", "names", "settled")

    def __init__(self, identity: Identity, names: Mapping[str, int]) -> None:
        self.identity = identity
        self.names = names
        self.held: tuple[Holds, ...] | None = None
        self.settled: dict[tuple[Holds, ...], Evaluation] = {}


def is_steady(root: tree.Expr) -> bool:
    """Whether an expression reads nothing but constants and what requests that stand alike have in common."""
    pending = [root]
    while pending:
        node = pending.pop()
        match node:
            case (
                tree.Select(operand=tree.Variable(name=name), field=field)
                | tree.Has(operand=tree.Variable(name=name), field=field)
            ):
                if not _is_common(name, field):
                    return False
            case tree.Call(function="@in", args=(tree.Constant(value=str()), view)) if is_view(view):
                pass
            case tree.Has(operand=view) if is_view(view):
                pass
            case tree.Variable(name=name):
                if not name.startswith(DEFINITIONS):
                    return False
            case tree.Call(overloads=overloads) if any(overload.bindings for overload in overloads):
                return False
            case _:
                pending += tree.children(node)
    return True


def _is_common(name: str, field: str) -> bool:
    match name:
        case "user":
            return field not in _TIMED
        case "workload" | "client":
            return True
        case "request":
            return field == "method"
        case _:
            return False
