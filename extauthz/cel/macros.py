"""Macros: calls that the parser turns into nodes of their own (langdef, "Macros", and the extensions'
bindings, optionals, two-variable comprehensions and math)."""

from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

from extauthz.cel.errors import Span
from extauthz.cel.tree import Bind, Call, Element, Expr, Failure, Has, Ident, ListDisplay, Loop, LoopKind, Select


class Reports(Protocol):
    """Where a macro that is used wrongly is reported."""

    def report(self, message: str, span: Span, hint: str | None = None) -> None: ...


Expander: TypeAlias = Callable[[Reports, Expr, tuple[Expr, ...], Span], Expr]


def expand(parser: Reports, name: str, target: Expr | None, args: tuple[Expr, ...], span: Span) -> Expr | None:
    """What a call stands for, or None if it is no macro's."""
    if target is None:
        if name in ("has", ".has") and len(args) == 1:
            return _has(parser, args[0], span)
        return None
    if isinstance(target, Ident) and (expander := _NAMESPACED.get((target.name, name, len(args)))):
        return expander(parser, target, args, span)
    if isinstance(target, Ident) and target.name == "math" and name in ("greatest", "least"):
        return _extreme(parser, name, args, span)
    if expander := _MEMBERS.get((name, len(args))):
        return expander(parser, target, args, span)
    return None


def _has(parser: Reports, arg: Expr, span: Span) -> Expr:
    """has(e.f)"""
    if isinstance(arg, Select):
        return Has(span=span, operand=arg.operand, field=arg.field, optional=arg.optional)
    if not isinstance(arg, Failure):
        parser.report("has() tests a field", arg.span, "write has(e.f), or `k in m` for a key of a map")
    return Failure(span=span, message="has() tests a field")


def _variable(parser: Reports, arg: Expr) -> str:
    if isinstance(arg, Ident) and not arg.absolute:
        return arg.name
    if not isinstance(arg, Failure):
        parser.report("a macro's variable must be a plain name", arg.span)
    return "_"


def _two(parser: Reports, args: tuple[Expr, ...]) -> tuple[str, str]:
    first, second = _variable(parser, args[0]), _variable(parser, args[1])
    if first == second:
        parser.report(f"two variables of one name `{first}`", args[1].span, "choose another name")
    return first, second


def _test(kind: LoopKind) -> Expander:
    """e.all(x, p), e.exists(x, p), e.existsOne(x, p)"""

    def expander(parser: Reports, target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
        variable = _variable(parser, args[0])
        return Loop(span=span, kind=kind, range=target, variable=variable, second=None, where=args[1], result=None)

    return expander


def _test_two(kind: LoopKind) -> Expander:
    """e.all(i, v, p), e.exists(i, v, p), e.existsOne(i, v, p)"""

    def expander(parser: Reports, target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
        first, second = _two(parser, args)
        return Loop(span=span, kind=kind, range=target, variable=first, second=second, where=args[2], result=None)

    return expander


def _filter(parser: Reports, target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
    """e.filter(x, p)"""
    name = _variable(parser, args[0])
    result = Ident(span=args[0].span, name=name)
    return Loop(span=span, kind="list", range=target, variable=name, second=None, where=args[1], result=result)


def _map(parser: Reports, target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
    """e.map(x, t), e.map(x, p, t)"""
    name = _variable(parser, args[0])
    where = args[1] if len(args) == 3 else None
    return Loop(span=span, kind="list", range=target, variable=name, second=None, where=where, result=args[-1])


def _transform(kind: LoopKind) -> Expander:
    """e.transformList(i, v, t), …Map, …MapEntry; each also with a condition before the result"""

    def expander(parser: Reports, target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
        first, second = _two(parser, args)
        where = args[2] if len(args) == 4 else None
        return Loop(span=span, kind=kind, range=target, variable=first, second=second, where=where, result=args[-1])

    return expander


def _bind(parser: Reports, _target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
    """cel.bind(x, value, body)"""
    return Bind(span=span, variable=_variable(parser, args[0]), value=args[1], body=args[2])


def _opt(unwrap: Literal["optMap", "optFlatMap"]) -> Expander:
    """o.optMap(x, e), o.optFlatMap(x, e)"""

    def expander(parser: Reports, target: Expr, args: tuple[Expr, ...], span: Span) -> Expr:
        return Bind(span=span, variable=_variable(parser, args[0]), value=target, body=args[1], unwrap=unwrap)

    return expander


def _extreme(parser: Reports, name: str, args: tuple[Expr, ...], span: Span) -> Expr:
    """math.greatest(a, …), math.least(a, …): any number of arguments becomes one list"""
    if not args:
        parser.report(f"math.{name}() needs an argument", span)
    function = f"math.@{name}"
    if len(args) <= 2:
        return Call(span=span, function=function, args=args)
    elements = tuple(Element(value=arg, optional=False) for arg in args)
    return Call(span=span, function=function, args=(ListDisplay(span=span, elements=elements),))


_NAMESPACED: Final[dict[tuple[str, str, int], Expander]] = {("cel", "bind", 3): _bind}
_MEMBERS: Final[dict[tuple[str, int], Expander]] = {
    ("all", 2): _test("all"),
    ("exists", 2): _test("exists"),
    ("exists_one", 2): _test("existsOne"),
    ("existsOne", 2): _test("existsOne"),
    ("filter", 2): _filter,
    ("map", 2): _map,
    ("map", 3): _map,
    ("all", 3): _test_two("all"),
    ("exists", 3): _test_two("exists"),
    ("exists_one", 3): _test_two("existsOne"),
    ("existsOne", 3): _test_two("existsOne"),
    ("transformList", 3): _transform("list"),
    ("transformList", 4): _transform("list"),
    ("transformMap", 3): _transform("map"),
    ("transformMap", 4): _transform("map"),
    ("transformMapEntry", 3): _transform("mapEntry"),
    ("transformMapEntry", 4): _transform("mapEntry"),
    ("optMap", 2): _opt("optMap"),
    ("optFlatMap", 2): _opt("optFlatMap"),
}
MACROS: Final = frozenset(_MEMBERS)
"""The macros that are written after a value, each with its number of arguments."""
