"""Nodes of Python's syntax tree. Their line is the number of the CEL subexpression that they come from, so that a
traceback leads back to it."""

import ast
from typing import Any, Final

LOAD: Final = ast.Load()
STORE: Final = ast.Store()


def _at(line: int) -> dict[str, Any]:
    return {"lineno": line, "col_offset": 0, "end_lineno": line, "end_col_offset": 0}


def name(identifier: str, line: int) -> ast.expr:
    return ast.Name(identifier, LOAD, **_at(line))


def constant(value: object, line: int) -> ast.expr:
    return ast.Constant(value, **_at(line))  # type: ignore[arg-type]  # the caller gives what compile() takes


def call(function: ast.expr, args: list[ast.expr], line: int) -> ast.expr:
    return ast.Call(function, args, [], **_at(line))


def attribute(value: ast.expr, attr: str, line: int) -> ast.expr:
    return ast.Attribute(value, attr, LOAD, **_at(line))


def subscript(value: ast.expr, index: ast.expr, line: int) -> ast.expr:
    return ast.Subscript(value, index, LOAD, **_at(line))


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr, line: int) -> ast.expr:
    return ast.Compare(left, [operator], [right], **_at(line))


def between(low: int, value: ast.expr, high: int, line: int) -> ast.expr:
    parts = [value, constant(high, line)]
    return ast.Compare(constant(low, line), [ast.LtE(), ast.LtE()], parts, **_at(line))


def binary(left: ast.expr, operator: ast.operator, right: ast.expr, line: int) -> ast.expr:
    return ast.BinOp(left, operator, right, **_at(line))


def negated(value: ast.expr, line: int) -> ast.expr:
    return ast.UnaryOp(ast.Not(), value, **_at(line))


def minus(value: ast.expr, line: int) -> ast.expr:
    return ast.UnaryOp(ast.USub(), value, **_at(line))


def logic(operator: str, values: list[ast.expr], line: int) -> ast.expr:
    if len(values) == 1:
        return values[0]
    return ast.BoolOp(ast.And() if operator == "&&" else ast.Or(), values, **_at(line))


def either(test: ast.expr, then: ast.expr, otherwise: ast.expr, line: int) -> ast.expr:
    return ast.IfExp(test, then, otherwise, **_at(line))


def walrus(identifier: str, value: ast.expr, line: int) -> ast.expr:
    return ast.NamedExpr(ast.Name(identifier, STORE, **_at(line)), value, **_at(line))


def listing(elements: list[ast.expr], line: int) -> ast.expr:
    return ast.List(elements, LOAD, **_at(line))


def pair(first: ast.expr, second: ast.expr, line: int) -> ast.expr:
    return ast.Tuple([first, second], LOAD, **_at(line))


def mapping(keys: list[ast.expr], values: list[ast.expr], line: int) -> ast.expr:
    return ast.Dict(list(keys), values, **_at(line))


def assign(identifier: str, value: ast.expr, line: int) -> ast.stmt:
    return ast.Assign([ast.Name(identifier, STORE, **_at(line))], value, None, **_at(line))


def assign_item(target: str, key: ast.expr, value: ast.expr, line: int) -> ast.stmt:
    return ast.Assign([ast.Subscript(name(target, line), key, STORE, **_at(line))], value, None, **_at(line))


def do(value: ast.expr, line: int) -> ast.stmt:
    return ast.Expr(value, **_at(line))


def when(test: ast.expr, body: list[ast.stmt], otherwise: list[ast.stmt], line: int) -> ast.stmt:
    return ast.If(test, body, otherwise, **_at(line))


def attempt(
    body: list[ast.stmt], error: str, handler: list[ast.stmt], line: int, *, kind: str = "Exception"
) -> ast.stmt:
    """try: body; except kind as error: handler"""
    caught = ast.ExceptHandler(name(kind, line), error, handler, **_at(line))
    return ast.Try(body, [caught], [], [], **_at(line))


def loop(target: list[str], items: ast.expr, body: list[ast.stmt], line: int) -> ast.stmt:
    names: list[ast.expr] = [ast.Name(identifier, STORE, **_at(line)) for identifier in target]
    whole = names[0] if len(names) == 1 else ast.Tuple(names, STORE, **_at(line))
    return ast.For(whole, items, body, [], None, **_at(line))


def stop(line: int) -> ast.stmt:
    return ast.Break(**_at(line))


def give(value: ast.expr, line: int) -> ast.stmt:
    return ast.Return(value, **_at(line))


def throw(value: ast.expr, line: int) -> ast.stmt:
    return ast.Raise(value, None, **_at(line))


def is_none(identifier: str, line: int) -> ast.expr:
    return compare(name(identifier, line), ast.Is(), constant(None, line), line)


def is_some(identifier: str, line: int) -> ast.expr:
    return compare(name(identifier, line), ast.IsNot(), constant(None, line), line)


def function(identifier: str, parameter: str, body: list[ast.stmt]) -> ast.Module:
    """A module of one function with one parameter."""
    parameters = ast.arguments([], [ast.arg(parameter, None, None, **_at(1))], None, [], [], None, [])
    definition = ast.FunctionDef(identifier, parameters, body, [], None, None, **_at(1))
    if hasattr(definition, "type_params"):  # Python 3.12 and later
        definition.type_params = []
    return ast.Module([definition], [])
