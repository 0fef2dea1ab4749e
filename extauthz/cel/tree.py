"""The syntax tree, before and after the check; `walk` visits it.

The parser makes nodes whose `type` is `dyn`; the checker returns a new tree of the same classes in which names are
resolved, every `Call` holds its overloads and every node its type. `Ident` occurs only before the check; `Variable`,
`Local` and `Failure` only after it.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeAlias, TypeVar

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


# Where a node holds others, in the order of its fields; and all its fields.
_PARTS: Final[Mapping[type, tuple[str, ...]]] = {
    Select: ("operand",),
    Has: ("operand",),
    Index: ("operand", "index"),
    Call: ("args", "target"),
    Logic: ("terms",),
    Conditional: ("test", "then", "otherwise"),
    ListDisplay: ("elements",),
    Element: ("value",),
    MapDisplay: ("entries",),
    Entry: ("key", "value"),
    Loop: ("range", "where", "result"),
    Bind: ("value", "body"),
}
_FIELDS: Final[Mapping[type, tuple[str, ...]]] = {
    cls: tuple(field.name for field in fields(cls)) for cls in (*_PARTS, Constant, Ident, Variable, Local, Failure)
}

Part = TypeVar("Part", bound=Node | Element | Entry)


def changed(node: Part, **changes: object) -> Part:
    """The node with some of its fields changed: `dataclasses.replace` in half the time, of which compiling has much."""
    cls = type(node)
    new = object.__new__(cls)
    for name in _FIELDS[cls]:
        object.__setattr__(new, name, changes[name] if name in changes else getattr(node, name))
    return new


def children(node: Expr | Element | Entry) -> list[Expr]:
    """The direct subexpressions of a node, in the order of their fields."""
    found: list[Expr] = []
    for name in _PARTS.get(type(node), ()):
        value = getattr(node, name)
        if type(value) is not tuple:
            if value is not None:
                found.append(value)
        elif value and isinstance(value[0], Element | Entry):
            for item in value:
                found += children(item)
        else:
            found += value
    return found


def walk(node: Expr) -> Iterator[Expr]:
    """The node and all subexpressions, each before its own parts."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed(children(current))


def mapped(node: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The node with each of its direct subexpressions changed; the node itself if none is."""
    return _mapped(node, change)


def _mapped(node: Part, change: Callable[[Expr], Expr]) -> Part:
    changes: dict[str, object] = {}
    for name in _PARTS.get(type(node), ()):
        old = getattr(node, name)
        if type(old) is tuple:
            items = tuple(_mapped(i, change) if isinstance(i, Element | Entry) else change(i) for i in old)
            if any(map(operator.is_not, items, old)):
                changes[name] = items
        elif old is not None and (new := change(old)) is not old:
            changes[name] = new
    return changed(node, **changes) if changes else node


def variables_of(node: Expr) -> Iterator[str]:
    """The variables of the activation that an expression reads, once for each use; functions' bindings included."""
    for part in walk(node):
        if isinstance(part, Variable):
            yield part.name
        elif isinstance(part, Call):
            yield from dict.fromkeys(name for overload in part.overloads for name in overload.bindings)
