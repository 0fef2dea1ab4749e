"""Checked tree to code: one Python function of one code object.

A subexpression becomes a Python expression; what needs statements (absorbed errors, loops, bindings) is put in
front of the statement at hand, which is sound because no part of CEL has an effect that another could see. Where
nothing can fail no error is caught. Every Python node carries the number of its subexpression as its line.
"""

import ast
from collections import Counter
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, Final

import msgspec

from extauthz.cel import pyast as py
from extauthz.cel import tree
from extauthz.cel.emit import basics, calls, logic, loops, members
from extauthz.cel.emitter import Emitter
from extauthz.cel.errors import Span
from extauthz.cel.limits import Limits

_EMITTERS: Final[dict[type, Callable[[Emitter, Any, int], ast.expr]]] = {
    tree.Constant: basics.constant,
    tree.Variable: basics.variable,
    tree.Local: basics.local,
    tree.Select: members.select,
    tree.Has: members.has,
    tree.Index: members.index,
    tree.Call: calls.call,
    tree.Logic: logic.logic,
    tree.Conditional: basics.conditional,
    tree.ListDisplay: basics.list_display,
    tree.MapDisplay: basics.map_display,
    tree.Loop: loops.loop,
    tree.Bind: basics.bind,
    tree.Failure: basics.failure,
}


TOO_DEEP: Final = (RecursionError, MemoryError, SyntaxError)
"""What Python's own compiler raises for code that is nested too deeply for it."""


class Code(msgspec.Struct, frozen=True):
    """The code of a function `evaluate(bindings)`, the Python objects that it names and its subexpressions' places.

    `reads` are the lines that read a variable, by name, `keys` those that look up a key which the source itself holds.
    Besides `globals` it names `failed`, which makes an exception an `EvalError`; `lazily`, which evaluates anew when
    a variable is missing; and, if it traces, `trace` and `failed_at`.
    """

    code: CodeType
    globals: dict[str, object]
    spans: tuple[Span, ...]
    reads: Mapping[int, str]
    keys: Mapping[int, str]


def generate(node: tree.Expr, limits: Limits, *, nan_ordering_is_error: bool, lazily: bool, trace: bool) -> Code:
    """The code for a checked tree.

    It reads variables that are used more than once first and, if one is missing, returns `lazily(bindings)`; with
    `lazily=True` it reads all where they are used. With `trace=True` it calls `trace(number, value)` for every
    subexpression. Raises one of `TOO_DEEP` for a tree that the limits allow and Python does not.
    """
    uses = Counter(tree.variables_of(node))
    emitter = Emitter(
        limits,
        _EMITTERS,
        nan_ordering_is_error=nan_ordering_is_error,
        lazily=lazily,
        often=frozenset(name for name, count in uses.items() if count > 1),
        trace=trace,
    )
    value = emitter.emit(node)
    line = len(emitter.spans)
    body = emitter.body
    if emitter.loops:
        body.insert(0, py.assign("visited", py.constant(0, line), line))
    body.append(py.give(value, line))
    failed = py.throw(py.call(py.name("failed", line), [py.name("caught", line)], line), line)
    whole = [py.attempt(body, "caught", [failed], line, kind="anything")]
    if emitter.variables and not lazily:
        again = py.give(py.call(py.name("lazily", line), [py.name("bindings", line)], line), line)
        reads = [
            py.assign(python, py.subscript(py.name("bindings", line), py.constant(name, line), line), line)
            for name, python in emitter.variables.items()
        ]
        whole.insert(0, py.attempt(list(reads), "caught", [again], line))
    module = py.function("evaluate", "bindings", whole)
    compiled = compile(module, "<cel>", "exec")
    code = next(value for value in compiled.co_consts if isinstance(value, CodeType))
    return Code(code, emitter.globals, tuple(emitter.spans), emitter.reads, emitter.keys)
