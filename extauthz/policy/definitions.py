"""Compiled `kind: Definitions` documents: what the expressions of all documents may use.

Functions, lists and constants are known as `definitions.name`; windows of time and lists of addresses are asked by the
functions of `naming`. A function sees its parameters and other definitions, nothing of the request; its error is the
caller's error. The rule kept here: what definitions cost is bounded when they are loaded, so that no expression runs
away through them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extauthz import cel
from extauthz.cel import tree
from extauthz.cel.kinds import kind_of
from extauthz.cel.types import ListType, MapType, name_of
from extauthz.policy.naming import NOTHING_NAMED, Named
from extauthz.values.request import empty

PREFIX: Final = "definitions."
MAX_CALLS: Final = 1_000
"""Calls of functions that one expression may come to, those within functions included."""


class Cost(msgspec.Struct, frozen=True):
    """What one call of a function may cost: how many calls it comes to, and whether it visits a list."""

    calls: int
    loops: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What all definitions of a policy set come to, names with their prefix.

    `failed` are those whose type is not known because something is wrong with them, and `complete` is whether there are
    no others: both are told where they stand, and not again where they are used. `named` are windows of time and lists
    of addresses.
    """

    types: Mapping[str, cel.CelType] = field(default_factory=empty)
    values: Mapping[str, object] = field(default_factory=empty)
    functions: tuple[cel.Function, ...] = ()
    costs: Mapping[str, Cost] = field(default_factory=empty)
    failed: frozenset[str] = frozenset()
    complete: bool = True
    named: Named = NOTHING_NAMED

    def fails(self, name: str) -> bool:
        """Whether a name that is not known may be one that something is wrong with."""
        return name in self.failed or not self.complete

    def cost(self, root: tree.Expr) -> Cost | None:
        """What an evaluation of a checked expression may cost; `None` if that of a function in it is not known.

        Raises `ValueError` if it is too much.
        """
        calls, loops, known = 0, False, True
        within: set[int] = set()  # what stands in a loop: a walk meets the loop before what it repeats
        for node in tree.walk(root):
            if isinstance(node, tree.Loop):
                loops = True
                repeated = [part for part in (node.where, node.result) if part is not None]
                within |= {id(inner) for part in repeated for inner in tree.walk(part)}
            elif isinstance(node, tree.Call) and node.function.startswith(PREFIX):
                called = self.costs.get(node.function)
                if called is None:
                    known = False
                    continue
                if called.loops and id(node) in within:
                    raise ValueError(f"`{node.function}` visits a list and is called in a loop; visit one list alone")
                calls += 1 + called.calls
                loops |= called.loops
        if calls > MAX_CALLS:
            raise ValueError(f"comes to {calls} calls of definitions; {MAX_CALLS} are the most")
        return Cost(calls, loops) if known else None


NO_DEFINITIONS: Final = Definitions()


def function(
    name: str, parameters: Mapping[str, cel.CelType], body: cel.Program, values: Mapping[str, object]
) -> cel.Function:
    """A defined function as CEL calls it; `values` are the lists and constants that its body may read."""
    names, types = tuple(parameters), tuple(parameters.values())
    constants = {used: values[used] for used in body.names if used in values}
    nested = [(number, kind) for number, kind in enumerate(types) if isinstance(kind, ListType | MapType)]
    evaluate = body.evaluate

    def call(*args: object) -> object:
        # What a list or a map from outside holds is known only when it is there.
        for number, kind in nested:
            if not _conforms(args[number], kind):
                raise cel.EvalError(f"`{name}` takes ({', '.join(map(str, types))})")
        try:
            return evaluate({**constants, **dict(zip(names, args, strict=True))})
        except cel.EvalError as error:
            raise cel.EvalError(f"in `{name}`: {error}") from None

    return cel.Function(name, [cel.Overload(name, types, body.result_type, call)])


def _conforms(value: object, kind: cel.CelType) -> bool:
    """Whether a value is of a type with all that it holds; our own views hold what they are declared with."""
    if isinstance(kind, ListType) and isinstance(value, list | tuple):
        return all(_conforms(item, kind.element) for item in value)
    if isinstance(kind, MapType) and isinstance(value, dict):
        return all(_conforms(key, kind.key) and _conforms(item, kind.value) for key, item in value.items())
    return kind == cel.DYN or isinstance(kind, cel.StructType) or kind_of(type(value)) == name_of(kind)
