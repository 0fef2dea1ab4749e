"""Calls: inline where Python has an operator for it, else a call of the overload's implementation."""

import ast
from collections.abc import Callable
from typing import Final

from extauthz.cel import pyast as py
from extauthz.cel.access import optional
from extauthz.cel.dispatch import Dispatcher, bindings_of
from extauthz.cel.emit import comparisons, operators, work
from extauthz.cel.emit.members import fused_or_value
from extauthz.cel.emitter import Emitter, Part
from extauthz.cel.equality import contains, equal, has_key
from extauthz.cel.errors import EvalError
from extauthz.cel.inference import is_concrete
from extauthz.cel.library.regexes import search_of
from extauthz.cel.library.times import PARTS, part_in_zone, zone_of
from extauthz.cel.tree import Call, Constant, Expr
from extauthz.cel.types import OptionalType, TypeParam

Inline = Callable[[Emitter, Call, int], ast.expr | None]


def call(emitter: Emitter, node: Call, line: int) -> ast.expr:
    if work.is_charged(emitter, node):
        return work.charged(emitter, node, lambda counted: _call(emitter, counted, line), line)
    return _call(emitter, node, line)


def _call(emitter: Emitter, node: Call, line: int) -> ast.expr:
    if len(node.overloads) == 1 and (lazy := _LAZY.get(node.overloads[0].id)):
        return lazy(emitter, node, line)
    if _is_static(node):
        inline = _INLINE.get(node.overloads[0].id)
        emitted = inline(emitter, node, line) if inline is not None else None
        if emitted is not None:
            return emitted
    bindings = bindings_of(node.overloads)
    args = [emitter.variable(name, line) for name in bindings]
    args += [emitter.emit(arg) for arg in node.args]
    if _is_static(node):
        overload = node.overloads[0]
        return emitter.call(overload.implementation, args, line, total=overload.total)
    return emitter.call(Dispatcher(node.function, node.overloads).function(), args, line)


def _is_static(node: Call) -> bool:
    """Whether the types of the arguments decide which implementation runs."""
    if len(node.overloads) != 1:
        return False
    pairs = zip(node.overloads[0].args, node.args, strict=True)
    return all(
        isinstance(declared, TypeParam) or is_concrete(arg.type) or not is_concrete(declared) for declared, arg in pairs
    )


def _method(name: str) -> Inline:
    """A method of Python's string."""

    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr:
        target, *args = [emitter.emit(arg) for arg in node.args]
        return py.call(py.attribute(target, name, line), args, line)

    return inline


def _contains(emitter: Emitter, node: Call, line: int) -> ast.expr:
    text, part = emitter.emit(node.args[0]), emitter.emit(node.args[1])
    return py.compare(part, ast.In(), text, line)


def _same(emitter: Emitter, node: Call, _line: int) -> ast.expr:
    return emitter.emit(node.args[0])


def _not(emitter: Emitter, node: Call, line: int) -> ast.expr:
    return py.negated(emitter.emit(node.args[0]), line)


def _size(emitter: Emitter, node: Call, line: int) -> ast.expr:
    return emitter.call(len, [emitter.shared(node.args[0])], line, total=True)


def _matches(emitter: Emitter, node: Call, line: int) -> ast.expr | None:
    """A pattern that is known is prepared; a bad one fails when it is evaluated, as the check has reported it."""
    pattern = node.args[1]
    if not isinstance(pattern, Constant) or not isinstance(pattern.value, str):
        return None
    try:
        search = search_of(pattern.value, emitter.limits)
    except EvalError:
        return None
    found = emitter.call(search, [emitter.emit(node.args[0])], line)
    return py.compare(found, ast.IsNot(), py.constant(None, line), line)


def _zoned(name: str) -> Inline:
    """A part of a timestamp in a time zone that is known."""

    def inline(emitter: Emitter, node: Call, line: int) -> ast.expr | None:
        zone = node.args[1]
        if not isinstance(zone, Constant) or not isinstance(zone.value, str):
            return None
        try:
            take = part_in_zone(PARTS[name], zone_of(zone.value))
        except EvalError:
            return None
        return emitter.call(take, [emitter.emit(node.args[0])], line)

    return inline


def _maybe(emitter: Emitter, node: Expr, line: int) -> ast.expr:
    """An optional, checked to be one where its type does not say so."""
    value = emitter.emit(node)
    return value if isinstance(node.type, OptionalType) else emitter.call(optional, [value], line)


def _or_value(emitter: Emitter, node: Call, line: int) -> ast.expr:
    """The default is evaluated only if it is needed."""
    maybe, default = node.args[0], emitter.part(emitter.emit, node.args[1])
    fused = fused_or_value(emitter, maybe, default, line)
    if fused is not None:
        return fused
    value = emitter.simple(_maybe(emitter, maybe, line), line)
    present = Part([], py.attribute(value, "content", line), False)
    return emitter.choose(py.attribute(value, "present", line), present, default, line)


def _or(emitter: Emitter, node: Call, line: int) -> ast.expr:
    """The other optional is evaluated only if it is needed."""
    value = emitter.simple(_maybe(emitter, node.args[0], line), line)
    other = emitter.part(lambda arg: _maybe(emitter, arg, line), node.args[1])
    return emitter.choose(py.attribute(value, "present", line), Part([], value, False), other, line)


def _in_list(emitter: Emitter, node: Call, line: int) -> ast.expr:
    item, container = node.args
    needle = emitter.emit(item)
    prepared = comparisons.prepared_members(item.type, container)
    if prepared is not None:
        return py.compare(needle, ast.In(), py.constant(prepared, line), line)
    items = emitter.shared(container)
    if comparisons.is_native_in_list(item.type, container.type):
        return py.compare(needle, ast.In(), items, line)
    return emitter.call(contains, [needle, items], line)


def _in_map(emitter: Emitter, node: Call, line: int) -> ast.expr:
    key, container = emitter.emit(node.args[0]), emitter.shared(node.args[1])
    emitter.fails = True  # the map may be an application's own
    if comparisons.is_native_in_map(node.args[0].type, node.args[1].type):
        return py.compare(key, ast.In(), container, line)
    return emitter.call(has_key, [container, key], line)


def _equals(emitter: Emitter, node: Call, line: int) -> ast.expr:
    return comparisons.equals(emitter, node, line, negate=False) or _equal_values(emitter, node, line, negate=False)


def _not_equals(emitter: Emitter, node: Call, line: int) -> ast.expr:
    return comparisons.equals(emitter, node, line, negate=True) or _equal_values(emitter, node, line, negate=True)


def _equal_values(emitter: Emitter, node: Call, line: int, *, negate: bool) -> ast.expr:
    left, right = (emitter.shared(arg) for arg in node.args)
    value = emitter.call(equal, [left, right], line)
    return py.negated(value, line) if negate else value


_LAZY: Final[dict[str, Callable[[Emitter, Call, int], ast.expr]]] = {
    "optional_or_value": _or_value,
    "optional_or": _or,
}
_INLINE: Final[dict[str, Inline]] = {
    "starts_with_string": _method("startswith"),
    "ends_with_string": _method("endswith"),
    "index_of": _method("find"),
    "last_index_of": _method("rfind"),
    "contains_string": _contains,
    "matches": _matches,
    "matches_string": _matches,
    "logical_not": _not,
    "to_dyn": _same,
    "in_list": _in_list,
    "in_map": _in_map,
    "equals": _equals,
    "not_equals": _not_equals,
    **{f"size{member}_{kind}": _size for member in ("", "_member") for kind in ("string", "bytes", "list", "map")},
    **{
        f"{kind}_to_{kind}": _same
        for kind in ("int64", "uint64", "double", "bool", "string", "bytes", "timestamp", "duration")
    },
    **{f"timestamp_{name}_tz": _zoned(name) for name in PARTS},
    **operators.INLINE,
    **comparisons.ORDERINGS,
}
