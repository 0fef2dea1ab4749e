"""Constants, names, conditionals, displays and bindings."""

import ast

from extauthz.cel import pyast as py
from extauthz.cel.access import optional
from extauthz.cel.emitter import Emitter
from extauthz.cel.equality import build_map
from extauthz.cel.errors import EvalError
from extauthz.cel.tree import (
    Bind,
    Conditional,
    Constant,
    Element,
    Entry,
    Failure,
    ListDisplay,
    Local,
    MapDisplay,
    Variable,
)
from extauthz.cel.types import OptionalType
from extauthz.cel.values import NONE, Optional


def constant(emitter: Emitter, node: Constant, line: int) -> ast.expr:
    return emitter.constant(node.value, line)


def variable(emitter: Emitter, node: Variable, line: int) -> ast.expr:
    return emitter.variable(node.name, line)


def local(emitter: Emitter, node: Local, line: int) -> ast.expr:
    return py.name(emitter.local(node.name), line)


def conditional(emitter: Emitter, node: Conditional, line: int) -> ast.expr:
    test = emitter.condition(node.test)
    then, otherwise = emitter.part(emitter.emit, node.then), emitter.part(emitter.emit, node.otherwise)
    return emitter.choose(test, then, otherwise, line)


def failure(emitter: Emitter, node: Failure, line: int) -> ast.expr:
    return emitter.call(fail, [py.constant(node.message, line)], line)


def fail(message: str) -> object:
    """The value of what can only fail."""
    raise EvalError(message)


def _unwrapped(emitter: Emitter, value: ast.expr, known: bool, line: int) -> ast.expr:
    """An optional, checked to be one unless its type says so, ready to be looked into twice."""
    return emitter.simple(value if known else emitter.call(optional, [value], line), line)


def list_display(emitter: Emitter, node: ListDisplay, line: int) -> ast.expr:
    if not any(element.optional for element in node.elements):
        return py.listing([emitter.emit(element.value) for element in node.elements], line)
    result = emitter.temporary()
    emitter.body.append(py.assign(result, py.listing([], line), line))
    for element in node.elements:
        _append(emitter, result, element, line)
    return py.name(result, line)


def _append(emitter: Emitter, result: str, element: Element, line: int) -> None:
    value = emitter.emit(element.value)
    append = py.attribute(py.name(result, line), "append", line)
    if not element.optional:
        emitter.body.append(py.do(py.call(append, [value], line), line))
        return
    maybe = _unwrapped(emitter, value, isinstance(element.value.type, OptionalType), line)
    added = py.do(py.call(append, [py.attribute(maybe, "content", line)], line), line)
    emitter.body.append(py.when(py.attribute(maybe, "present", line), [added], [], line))


def map_display(emitter: Emitter, node: MapDisplay, line: int) -> ast.expr:
    if _is_plain(node):
        keys = [emitter.emit(entry.key) for entry in node.entries]
        return py.mapping(keys, [emitter.emit(entry.value) for entry in node.entries], line)
    if not any(entry.optional for entry in node.entries):
        pairs = [py.pair(emitter.emit(entry.key), emitter.emit(entry.value), line) for entry in node.entries]
        return emitter.call(build_map, [py.listing(pairs, line)], line)
    result = emitter.temporary()
    emitter.body.append(py.assign(result, py.listing([], line), line))
    for entry in node.entries:
        _append_entry(emitter, result, entry, line)
    return emitter.call(build_map, [py.name(result, line)], line)


def _is_plain(node: MapDisplay) -> bool:
    """Whether the keys are different strings, so that nothing is left to check."""
    keys = [entry.key.value for entry in node.entries if isinstance(entry.key, Constant) and not entry.optional]
    strings = {key for key in keys if isinstance(key, str)}
    return len(strings) == len(node.entries)


def _append_entry(emitter: Emitter, result: str, entry: Entry, line: int) -> None:
    key, value = emitter.emit(entry.key), emitter.emit(entry.value)
    append = py.attribute(py.name(result, line), "append", line)
    if not entry.optional:
        emitter.body.append(py.do(py.call(append, [py.pair(key, value, line)], line), line))
        return
    maybe = _unwrapped(emitter, value, isinstance(entry.value.type, OptionalType), line)
    added = py.pair(key, py.attribute(maybe, "content", line), line)
    emitter.body.append(
        py.when(py.attribute(maybe, "present", line), [py.do(py.call(append, [added], line), line)], [], line)
    )


def bind(emitter: Emitter, node: Bind, line: int) -> ast.expr:
    value = emitter.emit(node.value)
    bound = emitter.temporary()
    if not node.unwrap:
        emitter.body.append(py.assign(bound, value, line))
        return emitter.scoped([(node.variable, bound)], lambda: emitter.emit(node.body))
    maybe = _unwrapped(emitter, value, isinstance(node.value.type, OptionalType), line)
    body = emitter.scoped([(node.variable, bound)], lambda: emitter.part(emitter.emit, node.body))
    body.body.insert(0, py.assign(bound, py.attribute(maybe, "content", line), line))
    if node.unwrap == "optMap":
        body.value = emitter.call(Optional, [body.value], line, total=True)
    elif not isinstance(node.body.type, OptionalType):
        body.value = emitter.call(optional, [body.value], line)
    nothing = emitter.part(lambda _: emitter.reference(NONE, line), node.value)
    return emitter.choose(py.attribute(maybe, "present", line), body, nothing, line)
