"""What a condition tells about presence: which values are surely there once it is true, or false.

A value is known by its key, which is the same for every way to write it: `m.k`, `m["k"]`, `m[?"k"]`. The rule kept
here: what is said to be there is there in every request, whatever the other parts of the condition come to.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Final, TypeAlias

from extauthz.cel import Program, tree
from extauthz.cel.types import OptionalType

Key: TypeAlias = tuple[Hashable, ...]
Keys: TypeAlias = frozenset[Key]
NOTHING: Final[Keys] = frozenset()

MAX_STEPS: Final = 20_000
"""Nodes that are looked at for one expression, those of variables each time they are used."""

_UNREAD: Final = frozenset({"span", "type", "overloads"})
_HEADERS: Final = frozenset({"headers", "header_values"})


class TooLarge(Exception):
    """An expression that takes more than `MAX_STEPS`: nothing is said about it."""


class Budget:
    """Counts what is looked at, so that variables that use each other can't make it endless."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def spend(self) -> None:
        """One more node. Raises `TooLarge`."""
        self._left -= 1
        if self._left < 0:
            raise TooLarge


def field_of(name: str, field: str) -> Key:
    """The key of a field of a declared name: `user`, `sub`."""
    return ("member", ("variable", name), field)


def shape(node: tree.Expr) -> Key:
    """The same for two expressions that are written alike, and so have the same value in one request."""
    match node:
        case tree.Variable(name=name):
            return ("variable", name)
        case tree.Local(name=name):
            return ("local", name)
        case tree.Constant(value=value):
            return ("constant", type(value).__name__, repr(value))
        case tree.Select(optional=False) | tree.Index(optional=False) if not _of_optional(node):
            return key_of(node)
        case _:
            return tuple(_parts(node))


def _parts(node: tree.Expr | tree.Element | tree.Entry) -> Iterator[Hashable]:
    yield type(node).__name__
    for part in fields(node):
        if part.name not in _UNREAD:
            value = getattr(node, part.name)
            if isinstance(value, tree.Node):
                yield shape(value)  # type: ignore[arg-type]  # every node within a node is an Expr
            elif isinstance(value, tuple):
                yield tuple(
                    shape(item) if isinstance(item, tree.Node) else tuple(_parts(item))  # type: ignore[arg-type]  # as above
                    for item in value
                )
            else:
                yield value


def key_of(node: tree.Select | tree.Index | tree.Has) -> Key:
    """The key of what a selection or an index leads to, or what a `has()` asks for."""
    if isinstance(node, tree.Index):
        return member(node.operand, node.index)
    return _member(_path(node.operand), node.field)


def member(operand: tree.Expr, index: tree.Expr) -> Key:
    """The key of `operand[index]`."""
    constant = index.value if isinstance(index, tree.Constant) else None
    return _member(_path(operand), constant if isinstance(constant, str) else shape(index))


def _member(of: Key, name: Hashable) -> Key:
    if isinstance(name, str) and of[0] == "member" and of[1] == ("variable", "request") and of[2] in _HEADERS:
        name = name.lower()  # header names are read in any case
    return ("member", of, name)


def _path(node: tree.Expr) -> Key:
    return key_of(node) if isinstance(node, tree.Select | tree.Index) else shape(node)


def _of_optional(node: tree.Expr) -> bool:
    return isinstance(node, tree.Select | tree.Index) and isinstance(node.operand.type, OptionalType)


def reads_strictly(node: tree.Select | tree.Index) -> bool:
    """Whether absence of what is read is an error: neither `?.` and `[?]`, nor a member of an optional."""
    return not node.optional and not _of_optional(node)


# What a caller of whom anything is known surely has: `User` and `Workload` are never without.
_TOGETHER: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("sub", "iss", "claims", "verified_by"),
    "workload": ("id", "trust_domain", "path", "verified_by"),
}


def with_owners(keys: Iterable[Key]) -> Keys:
    """The keys, what holds them, and what is there whenever they are."""
    found: set[Key] = set()
    for key in keys:
        while key[0] == "member" and key not in found:
            found.add(key)
            owner = key[1]
            assert isinstance(owner, tuple)  # noqa: S101 - as `_member` makes it
            if owner[0] == "variable" and owner[1] in _TOGETHER:
                found.update(field_of(owner[1], field) for field in _TOGETHER[owner[1]])
            key = owner
    return frozenset(found)


class Presence:
    """Facts of the conditions of one policy; `variables` are its programs by full name."""

    def __init__(self, variables: Mapping[str, Program], budget: Budget) -> None:
        self._variables = variables
        self._budget = budget

    def when(self, node: tree.Expr, truth: bool) -> Keys:
        """What is there if the node has this value."""
        self._budget.spend()
        match node:
            case tree.Has():
                return with_owners([key_of(node)]) if truth else self.read(node.operand)
            case tree.Call(function="@in", args=(index, operand)):
                read = self.read(index) | self.read(operand)
                return read | with_owners([member(operand, index)]) if truth else read
            case tree.Call(function="hasValue", args=((tree.Select() | tree.Index()) as operand,)):
                return with_owners([key_of(operand)]) if truth else self.read(operand)
            case tree.Call(function="!_", args=(operand,)):
                return self.when(operand, not truth)
            case tree.Logic(operator=operator, terms=terms):
                each = [self.when(term, truth) for term in terms]
                return NOTHING.union(*each) if (operator == "&&") == truth else each[0].intersection(*each)
            case tree.Conditional(test=test, then=then, otherwise=otherwise):
                met = self.when(test, True) | self.when(then, truth)
                return met & (self.when(test, False) | self.when(otherwise, truth))
            case tree.Variable(name=name) if name in self._variables:
                return self.when(self._variables[name].tree, truth)
            case _:
                return self.read(node)

    def read(self, node: tree.Expr) -> Keys:
        """What is there if the node has any value at all, because the value depends on it."""
        self._budget.spend()
        match node:
            case tree.Select():
                own = with_owners([key_of(node)]) if reads_strictly(node) else NOTHING
                return own | self.read(node.operand)
            case tree.Index():
                own = with_owners([key_of(node)]) if reads_strictly(node) else NOTHING
                return own | self.read(node.operand) | self.read(node.index)
            case tree.Has(operand=operand):
                return self.read(operand)
            case tree.Call(function="value", args=((tree.Select() | tree.Index()) as operand,)):
                return with_owners([key_of(operand)])
            case tree.Call(args=args):
                return NOTHING.union(*map(self.read, args))
            case tree.Conditional(test=test):
                return self.read(test)
            case tree.Loop(range=items):
                return self.read(items)
            case tree.Bind(value=value):
                return self.read(value)
            case tree.Variable(name=name) if name in self._variables:
                return self.read(self._variables[name].tree)
            case _:
                return NOTHING


def spelled(node: tree.Expr) -> str:
    """A name for a value as people write it; `…` for what is no plain name."""
    match node:
        case tree.Variable(name=name) | tree.Local(name=name):
            return name
        case tree.Select(operand=operand, field=field):
            return f"{spelled(operand)}.{field}"
        case tree.Index(operand=operand, index=tree.Constant(value=value)):
            return f"{spelled(operand)}[{quoted(value)}]"
        case tree.Index(operand=operand, index=index):
            return f"{spelled(operand)}[{spelled(index)}]"
        case _:
            return "…"


def quoted(value: object) -> str:
    """A literal as CEL writes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)
