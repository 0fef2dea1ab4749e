"""Fields and items: a field of a structure is an attribute, or a key of its entries; a field of a map is a key."""

import ast

from extauthz.cel import access
from extauthz.cel import pyast as py
from extauthz.cel.emit.bounds import bounds
from extauthz.cel.emitter import Emitter, Part
from extauthz.cel.tree import Constant, Expr, Has, Index, Select
from extauthz.cel.types import (
    BOOL,
    INT,
    STRING,
    UINT,
    CelType,
    Field,
    ListType,
    MapType,
    OptionalType,
    StructType,
)
from extauthz.cel.values import NONE, UNSET, Optional


def select(emitter: Emitter, node: Select, line: int) -> ast.expr:
    operand = emitter.shared(node.operand)
    emitter.fails = True
    _note_key(emitter, node, line)
    match node.operand.type:
        case StructType(entries=False, fields=fields):
            return _attribute(emitter, operand, node.field, fields[node.field], node.optional, line)
        case MapType() | StructType():
            key = py.constant(node.field, line)
            if not node.optional:
                return py.subscript(operand, key, line)
            return _optional_item(emitter, operand, key, line)
        case OptionalType(element=StructType(entries=False, fields=fields)):
            maybe = emitter.simple(operand, line)
            content = py.attribute(maybe, "content", line)
            value = _attribute(emitter, content, node.field, fields[node.field], True, line)
            nothing = emitter.reference(NONE, line)
            return py.either(py.attribute(maybe, "present", line), value, nothing, line)
        case _:
            function = access.select_optional if node.optional else access.select
            return emitter.call(function, [operand, py.constant(node.field, line)], line)


def _attribute(emitter: Emitter, operand: ast.expr, name: str, field: Field, optional: bool, line: int) -> ast.expr:
    """A field of a structure, or an optional of it."""
    value = py.attribute(operand, name, line)
    if not field.optional:
        return emitter.call(Optional, [value], line) if optional else value
    temporary = emitter.temporary()
    is_set = py.compare(py.walrus(temporary, value, line), ast.IsNot(), emitter.reference(UNSET, line), line)
    found = py.name(temporary, line)
    if optional:
        found = emitter.call(Optional, [found], line)
        return py.either(is_set, found, emitter.reference(NONE, line), line)
    missing = emitter.call(access.unset, [py.constant(name, line)], line)
    return py.either(is_set, found, missing, line)


def _optional_item(emitter: Emitter, operand: ast.expr, key: ast.expr, line: int) -> ast.expr:
    operand, key = emitter.simple(operand, line), emitter.simple(key, line)
    found = emitter.call(Optional, [py.subscript(operand, key, line)], line)
    return py.either(py.compare(key, ast.In(), operand, line), found, emitter.reference(NONE, line), line)


def has(emitter: Emitter, node: Has, line: int) -> ast.expr:
    operand = emitter.shared(node.operand)
    emitter.fails = True
    match node.operand.type:
        case StructType(entries=False):
            return _is_set(emitter, operand, node.field, line)
        case MapType() | StructType():
            return py.compare(py.constant(node.field, line), ast.In(), operand, line)
        case OptionalType(element=StructType(entries=False)):
            maybe = emitter.simple(operand, line)
            is_set = _is_set(emitter, py.attribute(maybe, "content", line), node.field, line)
            return py.logic("&&", [py.attribute(maybe, "present", line), is_set], line)
        case _:
            return emitter.call(access.has, [operand, py.constant(node.field, line)], line)


def _is_set(emitter: Emitter, operand: ast.expr, name: str, line: int) -> ast.expr:
    value = py.attribute(operand, name, line)
    return py.compare(value, ast.IsNot(), emitter.reference(UNSET, line), line)


def index(emitter: Emitter, node: Index, line: int) -> ast.expr:
    operand, position = emitter.shared(node.operand), emitter.emit(node.index)
    emitter.fails = True
    _note_key(emitter, node, line)
    kind = node.operand.type
    if isinstance(kind, MapType) and is_native_key(kind, node.index.type):
        if node.optional:
            return _optional_item(emitter, operand, position, line)
        return py.subscript(operand, position, line)
    if isinstance(kind, ListType) and node.index.type == INT and not node.optional:
        return _element(emitter, node.index, operand, position, line)
    function = access.item_optional if node.optional else access.item
    return emitter.call(function, [operand, position], line)


def _note_key(emitter: Emitter, node: Select | Index, line: int) -> None:
    """What fails at this line may quote the key: one that is written in the source is no secret of a value."""
    if isinstance(node, Select):
        emitter.keys[line] = node.field
    elif isinstance(node.index, Constant) and isinstance(node.index.value, str):
        emitter.keys[line] = node.index.value


def _element(emitter: Emitter, index: Expr, operand: ast.expr, position: ast.expr, line: int) -> ast.expr:
    """An element of a list; Python would count a negative index from the end."""
    if bounds(index)[0] >= 0:
        return py.subscript(operand, position, line)
    operand, position = emitter.simple(operand, line), emitter.simple(position, line)
    inside = py.compare(position, ast.GtE(), py.constant(0, line), line)
    outside = emitter.call(access.outside, [position], line)
    return py.either(inside, py.subscript(operand, position, line), outside, line)


def is_native_key(container: MapType, key: CelType) -> bool:
    """Whether Python finds such a key as CEL does: a string always, others in a map of their own type only."""
    return key == STRING or (key == container.key and key in (INT, UINT, BOOL))


def fused_or_value(emitter: Emitter, maybe: Expr, default: Part, line: int) -> ast.expr | None:
    """`m[?k].orValue(d)` without making the optional, or None if `maybe` is nothing of that kind."""
    if not isinstance(maybe, Select | Index) or not maybe.optional or emitter.trace:
        return None
    kind = maybe.operand.type
    if not isinstance(kind, MapType):
        return None
    if isinstance(maybe, Index) and not is_native_key(kind, maybe.index.type):
        return None
    operand = emitter.simple(emitter.shared(maybe.operand), line)
    key = py.constant(maybe.field, line) if isinstance(maybe, Select) else emitter.emit(maybe.index)
    key = emitter.simple(key, line)
    emitter.fails = True
    _note_key(emitter, maybe, line)
    found = Part([], py.subscript(operand, key, line), True)
    return emitter.choose(py.compare(key, ast.In(), operand, line), found, default, line)
