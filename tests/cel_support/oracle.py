"""A second evaluator, as plain as can be: it walks the tree and asks every value for its type, at every step.

It shares the parser and the checker with the product, and nothing that computes a value: its equality, its
arithmetic and its absorption of errors are written anew from langdef.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cel_support.oracle_values import FUNCTIONS, NUMBERS, Failed, Value, found, get, kind, operator

from extauthz import cel
from extauthz.cel import tree

Scope = Mapping[str, Value]


def evaluate(node: tree.Expr, scope: Scope) -> Value:
    """The value of a checked tree, or `Failed`."""
    return _EVALUATE[type(node)](node, scope)


def truth(node: tree.Expr, scope: Scope) -> bool:
    value = evaluate(node, scope)
    if kind(value) != "bool":
        raise Failed("not a bool")
    return bool(value)


def absorbing(tests: Sequence[Callable[[], bool]], decisive: bool) -> bool:
    """&& (decided by false) and || (decided by true), whatever the order of terms and errors."""
    failures = 0
    for test in tests:
        try:
            if test() is decisive:
                return decisive
        except Failed:
            failures += 1
    if failures:
        raise Failed("undecided")
    return not decisive


def call(node: tree.Call, scope: Scope) -> Value:
    if node.function == "orValue":
        maybe = evaluate(node.args[0], scope)
        if kind(maybe) != "optional":
            raise Failed("no such overload")
        return maybe.content if maybe.present else evaluate(node.args[1], scope)
    args = [evaluate(arg, scope) for arg in node.args]
    try:
        if node.function in FUNCTIONS:
            return FUNCTIONS[node.function](*args)
        return operator(node.function, args)
    except (cel.EvalError, OverflowError) as error:
        raise Failed("range") from error


def inside(value: Value, name: str) -> tuple[bool, Value]:
    """Whether a map or structure has a field, and its value."""
    if kind(value) == "map":
        return (True, get(value, name)) if found(value, name) else (False, None)
    if kind(value) == "struct":
        content = getattr(value, name)
        return content is not cel.UNSET, content
    raise Failed("no fields")


def select(node: tree.Select, scope: Scope) -> Value:
    return member(evaluate(node.operand, scope), node.optional, lambda value: inside(value, node.field))


def index(node: tree.Index, scope: Scope) -> Value:
    operand, position = evaluate(node.operand, scope), evaluate(node.index, scope)

    def look(value: Value) -> tuple[bool, Value]:
        if kind(value) == "map":
            return (True, get(value, position)) if found(value, position) else (False, None)
        if kind(value) != "list" or kind(position) not in NUMBERS or position != position:
            raise Failed("no items")
        if position in (float("inf"), float("-inf")) or position != int(position):
            raise Failed("no whole number")
        inner = 0 <= position < len(value)
        return inner, value[int(position)] if inner else None

    return member(operand, node.optional, look)


def member(operand: Value, optional: bool, look: Callable[[Value], tuple[bool, Value]]) -> Value:
    if kind(operand) == "optional":
        if not operand.present:
            return cel.Optional()
        operand, optional = operand.content, True
    there, value = look(operand)
    if optional:
        return cel.Optional(value) if there else cel.Optional()
    if not there:
        raise Failed("absent")
    return value


def has(node: tree.Has, scope: Scope) -> bool:
    operand = evaluate(node.operand, scope)
    if kind(operand) == "optional":
        return operand.present and inside(operand.content, node.field)[0]
    return inside(operand, node.field)[0]


def display(node: tree.ListDisplay, scope: Scope) -> list[Value]:
    return [evaluate(element.value, scope) for element in node.elements]


def map_display(node: tree.MapDisplay, scope: Scope) -> Value:
    result: dict[Value, Value] = {}
    for entry in node.entries:
        key = evaluate(entry.key, scope)
        if kind(key) not in ("bool", "int", "uint", "string") or found(result, key):
            raise Failed("bad key")
        result[key] = evaluate(entry.value, scope)
    return result


def loop(node: tree.Loop, scope: Scope) -> Value:
    items = evaluate(node.range, scope)
    if kind(items) not in ("list", "map"):
        raise Failed("nothing to visit")
    pairs = list(items.items()) if kind(items) == "map" else list(enumerate(items))
    scopes: list[Scope] = []
    for first, second in pairs:
        inner = dict(scope)
        if node.second is None:
            inner[f"@{node.variable}"] = first if kind(items) == "map" else second
        else:
            inner[f"@{node.variable}"], inner[f"@{node.second}"] = first, second
        scopes.append(inner)
    where = node.where
    if node.kind in ("all", "exists"):
        if where is None:
            raise Failed("no condition")
        return absorbing([partial(truth, where, inner) for inner in scopes], node.kind == "exists")
    chosen = [inner for inner in scopes if where is None or truth(where, inner)]
    if node.kind == "existsOne":
        return len(chosen) == 1
    assert node.result is not None
    return [evaluate(node.result, inner) for inner in chosen]


def conditional(node: tree.Conditional, scope: Scope) -> Value:
    return evaluate(node.then if truth(node.test, scope) else node.otherwise, scope)


def logic(node: tree.Logic, scope: Scope) -> bool:
    return absorbing([partial(truth, term, scope) for term in node.terms], node.operator == "||")


def bind(node: tree.Bind, scope: Scope) -> Value:
    value = evaluate(node.value, scope)
    if not node.unwrap:
        return evaluate(node.body, {**scope, f"@{node.variable}": value})
    if kind(value) != "optional":
        raise Failed("no optional")
    if not value.present:
        return cel.Optional()
    result = evaluate(node.body, {**scope, f"@{node.variable}": value.content})
    if node.unwrap == "optFlatMap" and kind(result) != "optional":
        raise Failed("no optional")
    return result if node.unwrap == "optFlatMap" else cel.Optional(result)


def variable(node: tree.Variable, scope: Scope) -> Value:
    if node.name not in scope:
        raise Failed("not bound")
    return scope[node.name]


def failure(node: tree.Failure, _scope: Scope) -> Value:
    raise Failed(node.message)


_EVALUATE: dict[type, Callable[..., Value]] = {
    tree.Constant: lambda node, _: node.value,
    tree.Variable: variable,
    tree.Local: lambda node, scope: scope[f"@{node.name}"],
    tree.Select: select,
    tree.Has: has,
    tree.Index: index,
    tree.Call: call,
    tree.Logic: logic,
    tree.Conditional: conditional,
    tree.ListDisplay: display,
    tree.MapDisplay: map_display,
    tree.Loop: loop,
    tree.Bind: bind,
    tree.Failure: failure,
}
