"""The syntax tree, before and after the check; `walk` visits it.

The parser makes nodes whose `type` is `dyn`; the checker returns a new tree of the same classes in which names are
resolved, every `Call` holds its overloads and every node its type. `Ident` occurs only before the check; `Variable`,
`Local` and `Failure` only after it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Literal, TypeAlias

from extauthz.cel.errors import Span
from extauthz.cel.functions import Overload
from extauthz.cel.types import DYN, CelType


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """A subexpression: where it stands in the source, and its type."""

    span: Span
    type: CelType = field(default=DYN)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant(Node):
    """A literal, the name of a type, or what constant subexpressions were folded to."""

    value: object


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ident(Node):
    """A name not yet resolved; `absolute` if a dot stands before it."""

    name: str
    absolute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variable(Node):
    """A variable of the activation under its full name, which may have dots: `request.params`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Local(Node):
    """A variable that a macro introduced."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Select(Node):
    """`operand.field`, or `operand.?field` if `optional`."""

    operand: "Expr"
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Has(Node):
    """`has(operand.field)`, or `has(operand.?field)` if `optional`."""

    operand: "Expr"
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Index(Node):
    """`operand[index]`, or `operand[?index]` if `optional`."""

    operand: "Expr"
    index: "Expr"
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call(Node):
    """A call of a function, of a method (`target` is set before the check), or an operator (`_+_`, `@in`, …).

    After the check a method's target is the first of `args`, and `overloads` holds those that can apply: one if
    the types of the arguments decide it, several if only their values can.
    """

    function: str
    args: tuple["Expr", ...]
    target: "Expr | None" = None
    overloads: tuple[Overload, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logic(Node):
    """`a && b && …` or `a || b || …`: two terms or more."""

    operator: Literal["&&", "||"]
    terms: tuple["Expr", ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditional(Node):
    """`test ? then : otherwise`"""

    test: "Expr"
    then: "Expr"
    otherwise: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Element:
    """An element of a list; an `optional` one is left out when its value is `optional.none()`."""

    value: "Expr"
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListDisplay(Node):
    """`[a, ?b]`"""

    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """An entry of a map; an `optional` one is left out when its value is `optional.none()`."""

    key: "Expr"
    value: "Expr"
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapDisplay(Node):
    """`{k: v, ?k: v}`"""

    entries: tuple[Entry, ...]


LoopKind: TypeAlias = Literal["all", "exists", "existsOne", "list", "map", "mapEntry"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loop(Node):
    """A macro that visits the elements of `range`.

    `all`, `exists`, `existsOne` test `where`; `list`, `map` and `mapEntry` collect `result` of the elements that
    meet `where`, if that is set. With one variable it is the element or the key; with two, `variable` is the
    index or the key and `second` the element or the value.
    """

    kind: LoopKind
    range: "Expr"
    variable: str
    second: str | None
    where: "Expr | None"
    result: "Expr | None"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bind(Node):
    """`cel.bind(variable, value, body)`; the same with a `value` that is unwrapped for `optMap` and `optFlatMap`."""

    variable: str
    value: "Expr"
    body: "Expr"
    unwrap: Literal["", "optMap", "optFlatMap"] = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Failure(Node):
    """What can only fail when it is evaluated: an unknown name where the check is off."""

    message: str


Expr: TypeAlias = (
    Constant
    | Ident
    | Variable
    | Local
    | Select
    | Has
    | Index
    | Call
    | Logic
    | Conditional
    | ListDisplay
    | MapDisplay
    | Loop
    | Bind
    | Failure
)


def children(node: Expr | Element | Entry) -> Iterator[Expr]:
    """The direct subexpressions of a node, in the order of their fields."""
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, Node):
            yield value  # type: ignore[misc]  # every node within a node is an Expr
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Node):
                    yield item  # type: ignore[misc]  # as above
                elif isinstance(item, Element | Entry):
                    yield from children(item)


def walk(node: Expr) -> Iterator[Expr]:
    """The node and all subexpressions, each before its own parts."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(list(children(current))))


def mapped(node: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The node with each of its direct subexpressions changed."""
    changes: dict[str, object] = {}
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, Node):
            changes[part.name] = change(value)  # type: ignore[arg-type]  # every node within a node is an Expr
        elif part.name in ("args", "terms"):
            changes[part.name] = tuple(map(change, value))
        elif part.name == "elements":
            changes[part.name] = tuple(replace(element, value=change(element.value)) for element in value)
        elif part.name == "entries":
            changes[part.name] = tuple(
                replace(entry, key=change(entry.key), value=change(entry.value)) for entry in value
            )
    return replace(node, **changes) if changes else node  # type: ignore[arg-type]  # the fields keep their types


def variables_of(node: Expr) -> Iterator[str]:
    """The variables of the activation that an expression reads, once for each use; functions' bindings included."""
    for part in walk(node):
        if isinstance(part, Variable):
            yield part.name
        elif isinstance(part, Call):
            yield from dict.fromkeys(name for overload in part.overloads for name in overload.bindings)
