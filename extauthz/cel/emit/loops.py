"""Macros that visit lists and maps: plain loops in the same function.

`all` and `exists` absorb errors of elements as `&&` and `||` do; the others fail with the first.
"""

import ast
from typing import Final

from extauthz.cel import access
from extauthz.cel import pyast as py
from extauthz.cel.emit.work import charge
from extauthz.cel.emitter import Emitter, Part
from extauthz.cel.equality import build_map, merge_maps
from extauthz.cel.library.operators import too_long
from extauthz.cel.tree import Loop
from extauthz.cel.types import BOOL, INT, STRING, UINT, ListType, MapType

_PLAIN_KEYS: Final = (BOOL, INT, UINT, STRING)


def loop(emitter: Emitter, node: Loop, line: int) -> ast.expr:
    items = emitter.shared(node.range)
    if not isinstance(node.range.type, ListType | MapType):
        items = emitter.call(access.elements, [items], line)
    items = emitter.simple(items, line)
    emitter.loops += 1
    charge(emitter, emitter.call(len, [items], line), line)
    names = [(node.variable, emitter.temporary())]
    if node.second is not None:
        names.append((node.second, emitter.temporary()))
    target, source, prelude = _header(emitter, node, items, [python for _, python in names], line)
    emitter.loop_depth += 1
    where = result = None
    if node.where is not None:
        condition = node.where
        where = emitter.scoped(names, lambda: emitter.part(emitter.condition, condition))
        where.body[:0] = prelude
        where.fails = where.fails or bool(prelude)
        prelude = []
    if node.result is not None:
        collected = node.result
        result = emitter.scoped(names, lambda: emitter.part(emitter.emit, collected))
        result.body[:0] = prelude
    emitter.loop_depth -= 1
    if result is not None:
        return _collect(emitter, node, (target, source), names[0][1], where, result, line)
    if where is None:
        raise AssertionError(f"{node.kind} without a condition")
    if node.kind == "existsOne":
        return _count(emitter, (target, source), where, line)
    return _quantify(emitter, node.kind == "all", (target, source), where, line)


def _header(
    emitter: Emitter, node: Loop, items: ast.expr, names: list[str], line: int
) -> tuple[list[str], ast.expr, list[ast.stmt]]:
    """What a loop assigns to, what it runs over, and what comes first for each element."""
    if node.second is None:
        return names, items, []
    if isinstance(node.range.type, ListType):
        return names, emitter.call(enumerate, [items], line), []
    if isinstance(node.range.type, MapType):
        # Reading an entry may fail, which must count as an error of this element only.
        read = py.assign(names[1], py.subscript(items, py.name(names[0], line), line), line)
        return names[:1], items, [read]
    return names, emitter.call(access.pairs, [items], line), []


def _quantify(
    emitter: Emitter, universal: bool, header: tuple[list[str], ast.expr], where: Part, line: int
) -> ast.expr:
    """all: true until an element is not; exists: false until one is."""
    value, error = emitter.temporary(), emitter.temporary()
    test = py.negated(where.value, line) if universal else where.value
    found = [py.assign(value, py.constant(not universal, line), line), py.stop(line)]
    body = [*where.body, py.when(test, found, [], line)]
    emitter.body.append(py.assign(value, py.constant(universal, line), line))
    if not where.fails:
        emitter.body.append(py.loop(*header, body, line))
        return py.name(value, line)
    note = py.when(py.is_none(error, line), [py.assign(error, emitter.caught(line), line)], [], line)
    emitter.body.append(py.assign(error, py.constant(None, line), line))
    emitter.body.append(py.loop(*header, [py.attempt(body, "caught", [note], line)], line))
    result = py.name(value, line)
    failed = py.throw(py.call(py.name("failed", line), [py.name(error, line)], line), line)
    undecided = result if universal else py.negated(result, line)
    clear = py.assign(error, py.constant(None, line), line)
    emitter.body.append(py.when(py.is_some(error, line), [py.when(undecided, [failed], [], line), clear], [], line))
    return result


def _count(emitter: Emitter, header: tuple[list[str], ast.expr], where: Part, line: int) -> ast.expr:
    count = emitter.temporary()
    one_more = py.binary(py.name(count, line), ast.Add(), py.constant(1, line), line)
    body = [*where.body, py.when(where.value, [py.assign(count, one_more, line)], [], line)]
    emitter.body.append(py.assign(count, py.constant(0, line), line))
    emitter.body.append(py.loop(*header, body, line))
    return py.compare(py.name(count, line), ast.Eq(), py.constant(1, line), line)


def _collect(
    emitter: Emitter,
    node: Loop,
    header: tuple[list[str], ast.expr],
    key: str,
    where: Part | None,
    result: Part,
    line: int,
) -> ast.expr:
    """The results of the elements that meet the condition, as a list or a map."""
    collected = emitter.temporary()
    plain_map = node.kind == "map" and isinstance(node.type, MapType) and node.type.key in _PLAIN_KEYS
    if plain_map:
        add: ast.stmt = py.assign_item(collected, py.name(key, line), result.value, line)
    else:
        value = py.pair(py.name(key, line), result.value, line) if node.kind == "map" else result.value
        append = py.attribute(py.name(collected, line), "append", line)
        add = py.do(py.call(append, [value], line), line)
    body: list[ast.stmt] = [*result.body, add]
    if where is not None:
        body = [*where.body, py.when(where.value, body, [], line)]
    empty = py.mapping([], [], line) if plain_map else py.listing([], line)
    emitter.body.append(py.assign(collected, empty, line))
    emitter.body.append(py.loop(*header, body, line))
    whole = py.name(collected, line)
    if emitter.limits.list_length < emitter.limits.iterations:
        length = emitter.call(len, [whole], line)
        over = py.compare(length, ast.Gt(), py.constant(emitter.limits.list_length, line), line)
        emitter.body.append(py.when(over, [py.do(emitter.call(too_long, [], line), line)], [], line))
    if node.kind == "mapEntry":
        return emitter.call(merge_maps, [whole], line)
    if node.kind == "map" and not plain_map:
        return emitter.call(build_map, [whole], line)
    return whole
