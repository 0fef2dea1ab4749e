"""What functions cost that are called in loops: each reads its arguments anew for each element.

Without it `a.all(x, x in b)` would be quadratic in its input. What is constant, or read in part only, is free.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from extauthz.cel import pyast as py
from extauthz.cel.emitter import Emitter
from extauthz.cel.errors import Exhausted
from extauthz.cel.library.regexes import work_of
from extauthz.cel.tree import Call, Constant, Expr, Local
from extauthz.cel.types import BYTES, DYN, STRING, ListType, MapType, OptionalType

_CHARACTERS: Final = 8
"""The logarithm to base 2 of the characters that count as one element."""
_FREE: Final = frozenset(
    {"to_dyn", "type", "in_map", "logical_not", "optional_none", "optional_of", "optional_has_value", "optional_value"}
    | {f"size{member}_{kind}" for member in ("", "_member") for kind in ("string", "bytes", "list", "map")}
    | {"optional_or", "optional_or_value", "list_first", "list_last", "string_to_string", "bytes_to_bytes"}
)
"""Overloads that do not read what their arguments hold."""
_MATCHES: Final = frozenset({"matches", "matches_string"})
_SHORT_SECOND: Final = frozenset({"starts_with_string", "ends_with_string", "equals", "not_equals"})
"""Overloads that read no more than the shorter of their arguments."""


def too_many() -> None:
    """More elements visited than the limits allow."""
    raise Exhausted("too many elements visited in one evaluation")


def weight(value: object, most: int) -> int:
    """The number of values that a value holds at all depths, itself included; counts no further than `most`."""
    count = 0
    pending = [value]
    while pending and count <= most:
        current = pending.pop()
        count += 1
        if isinstance(current, str | bytes):
            count += len(current) >> _CHARACTERS
        elif isinstance(current, list | tuple):
            count += len(current)
            if count <= most:
                pending.extend(current)
        elif isinstance(current, dict):
            count += len(current)
            if count <= most:
                pending.extend(current.values())
        elif isinstance(current, Mapping):
            # Reading the entries of an application's own map may fail.
            count += len(current)
    return count


def is_charged(emitter: Emitter, node: Call) -> bool:
    """Whether a call stands in a loop and reads what its arguments hold."""
    if not emitter.loop_depth or all(overload.id in _FREE for overload in node.overloads):
        return False
    return not (node.overloads[0].id in _SHORT_SECOND and any(map(_is_short, node.args)))


def charged(emitter: Emitter, node: Call, emit: Callable[[Call], ast.expr], line: int) -> ast.expr:
    """A call whose arguments are evaluated and counted first."""
    bound: list[tuple[str, str]] = []
    args: list[Expr] = []
    for arg in node.args:
        if isinstance(arg, Constant | Local) and not _is_large(arg):
            args.append(arg)
            continue
        value = emitter.temporary()
        emitter.body.append(py.assign(value, emitter.emit(arg), line))
        if _is_large(arg):
            _count(emitter, arg, py.name(value, line), line)
        bound.append((f"@{value}", value))
        args.append(Local(span=arg.span, type=arg.type, name=f"@{value}"))
    counted = replace(node, args=tuple(args))
    if node.overloads[0].id in _MATCHES:
        emitter.scoped(bound, lambda: _count_search(emitter, counted, line))
    return emitter.scoped(bound, lambda: emit(counted))


def _is_short(node: Expr) -> bool:
    return isinstance(node, Constant) and not isinstance(node.value, list | tuple | Mapping)


def _is_large(node: Expr) -> bool:
    """Whether a value may take long to read: a text, a container or who knows what, but not what the source says."""
    if isinstance(node, Constant):
        return False
    return node.type in (STRING, BYTES, DYN) or isinstance(node.type, ListType | MapType | OptionalType)


def _count_search(emitter: Emitter, node: Call, line: int) -> None:
    """What is searched costs more than what is read."""
    charge(emitter, emitter.call(work_of(emitter.limits), [emitter.emit(arg) for arg in node.args], line), line)


def _count(emitter: Emitter, node: Expr, value: ast.expr, line: int) -> None:
    if node.type in (STRING, BYTES):
        length = emitter.call(len, [value], line, total=True)
        charge(emitter, py.binary(length, ast.RShift(), py.constant(_CHARACTERS, line), line), line)
    else:
        most = py.constant(emitter.limits.iterations, line)
        charge(emitter, emitter.call(weight, [value, most], line, total=True), line)


def charge(emitter: Emitter, amount: ast.expr, line: int) -> None:
    """Adds to the elements visited so far, and fails if they are too many."""
    emitter.fails = True
    visited = py.binary(py.name("visited", line), ast.Add(), amount, line)
    emitter.body.append(py.assign("visited", visited, line))
    over = py.compare(py.name("visited", line), ast.Gt(), py.constant(emitter.limits.iterations, line), line)
    emitter.body.append(py.when(over, [py.do(emitter.call(too_many, [], line), line)], [], line))
