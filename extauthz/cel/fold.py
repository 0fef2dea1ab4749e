"""Constant subexpressions are evaluated once, when a source is compiled.

What fails is left as it is, to fail when it is evaluated: its error may be absorbed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from extauthz.cel import access
from extauthz.cel.dispatch import Dispatcher
from extauthz.cel.equality import build_map
from extauthz.cel.errors import Exhausted
from extauthz.cel.tree import (
    Call,
    Conditional,
    Constant,
    Expr,
    Has,
    Index,
    ListDisplay,
    Logic,
    MapDisplay,
    Select,
    changed,
    mapped,
)
from extauthz.cel.types import BOOL

_VALUE_MAX: Final = 10_000
"""Characters or elements of a constant that is worth keeping."""


def fold(node: Expr) -> Expr:
    """The tree with constants in place of what is constant."""
    folded = mapped(node, fold)
    match folded:
        case Call() | Select() | Has() | Index() | ListDisplay() | MapDisplay():
            return _evaluated(folded)
        case Logic():
            return _logic(folded)
        case Conditional(test=Constant(value=bool() as test)):
            return folded.then if test else folded.otherwise
        case _:
            return folded


def _evaluated(node: Call | Select | Has | Index | ListDisplay | MapDisplay) -> Expr:
    try:
        found = _value(node)
    except (Exception, Exhausted):  # noqa: BLE001  # whatever it is, it will be raised again at run time
        return node
    if not found or (isinstance(found[0], str | bytes | Sequence | Mapping) and len(found[0]) > _VALUE_MAX):
        return node
    return Constant(span=node.span, type=node.type, value=found[0])


def _value(node: Call | Select | Has | Index | ListDisplay | MapDisplay) -> tuple[object, ...]:
    """The value of a node in a tuple, which is empty if a part is not constant."""
    match node:
        case Call(args=args) if all(isinstance(arg, Constant) for arg in args):
            if any(overload.bindings for overload in node.overloads):
                return ()
            values = [arg.value for arg in args if isinstance(arg, Constant)]
            return (Dispatcher(node.function, node.overloads).function()(*values),)
        case Select(operand=Constant(value=value), optional=optional):
            return ((access.select_optional if optional else access.select)(value, node.field),)
        case Has(operand=Constant(value=value)):
            return (access.has(value, node.field),)
        case Index(operand=Constant(value=value), index=Constant(value=index), optional=optional):
            return ((access.item_optional if optional else access.item)(value, index),)
        case ListDisplay(elements=elements):
            values = [item.value.value for item in elements if isinstance(item.value, Constant) and not item.optional]
            return (values,) if len(values) == len(elements) else ()
        case MapDisplay(entries=entries):
            pairs = [
                (entry.key.value, entry.value.value)
                for entry in entries
                if isinstance(entry.key, Constant) and isinstance(entry.value, Constant) and not entry.optional
            ]
            return (build_map(pairs),) if len(pairs) == len(entries) else ()
        case _:
            return ()


def _logic(node: Logic) -> Expr:
    """Terms that say nothing are dropped; one that decides makes all others irrelevant, even if they fail."""
    neutral = node.operator == "&&"
    terms = [term for term in node.terms if not (isinstance(term, Constant) and term.value is neutral)]
    for term in terms:
        if isinstance(term, Constant) and term.value is not neutral and isinstance(term.value, bool):
            return changed(term, span=node.span)
    if not terms:
        return Constant(span=node.span, type=BOOL, value=neutral)
    if len(terms) == 1 and terms[0].type == BOOL:
        return terms[0]
    return changed(node, terms=tuple(terms))
