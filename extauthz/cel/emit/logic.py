"""`&&` and `||`: the value of one side may make the other's error irrelevant (langdef, "Logical Operators").

Only terms that can fail get a `try`, which costs nothing while they don't. A term that is itself a chain hands its
error over in a variable instead of raising it, so that chains within chains do not nest their `try`s.
"""

import ast

from extauthz.cel import pyast as py
from extauthz.cel.emitter import Emitter, Part
from extauthz.cel.tree import Call, Expr, Logic


def logic(emitter: Emitter, node: Logic, line: int) -> ast.expr:
    value, error = _chain(emitter, node, line)
    if error is not None:
        emitter.fails = True
        decided = _goes_on(node, value, line)
        emitter.body.append(
            py.when(
                py.is_some(error, line),
                [
                    py.when(decided, [py.throw(_failed(error, line), line)], [], line),
                    py.assign(error, py.constant(None, line), line),
                ],
                [],
                line,
            )
        )
    return value


def _failed(error: str, line: int) -> ast.expr:
    return py.call(py.name("failed", line), [py.name(error, line)], line)


def _goes_on(node: Logic, value: ast.expr, line: int) -> ast.expr:
    """Whether the value so far leaves it open what the whole is: true in `&&`, false in `||`."""
    return value if node.operator == "&&" else py.negated(value, line)


def _captured(emitter: Emitter, node: Expr) -> tuple[ast.expr, str | None] | None:
    """The value of a chain within a chain, and the variable of its error; None if the node is no chain."""
    if emitter.trace:
        return None
    if isinstance(node, Logic):
        emitter.spans.append(node.span)
        line = len(emitter.spans)
        value, error = _chain(emitter, node, line)
        if error is not None:
            decided = py.logic("&&", [py.is_some(error, line), _settles(node, value, line)], line)
            emitter.body.append(py.when(decided, [py.assign(error, py.constant(None, line), line)], [], line))
        return value, error
    if isinstance(node, Call) and node.function == "!_" and isinstance(node.args[0], Logic):
        inner = _captured(emitter, node.args[0])
        if inner is not None:
            return py.negated(inner[0], len(emitter.spans)), inner[1]
    return None


def _settles(node: Logic, value: ast.expr, line: int) -> ast.expr:
    return py.negated(value, line) if node.operator == "&&" else value


def _chain(emitter: Emitter, node: Logic, line: int) -> tuple[ast.expr, str | None]:
    """The value of a chain, and the variable that holds the error of a term, if one can fail."""
    terms = [_term(emitter, term) for term in node.terms]
    if not any(part.fails or part.body for part, _ in terms):
        return py.logic(node.operator, [part.value for part, _ in terms], line), None
    value = emitter.temporary()
    error = emitter.temporary() if any(part.fails or inner for part, inner in terms) else None
    if error is not None:
        emitter.body.append(py.assign(error, py.constant(None, line), line))
    first = True
    while terms:
        part, inner = terms.pop(0)
        if not part.fails and not part.body:
            run = [part.value]
            while terms and not (terms[0][0].fails or terms[0][0].body):
                run.append(terms.pop(0)[0].value)
            part.value = py.logic(node.operator, run, line)
        body = _step(emitter, node, part, inner, value, error, line)
        if first:
            emitter.body.extend(body)
        else:
            emitter.body.append(py.when(_goes_on(node, py.name(value, line), line), body, [], line))
        first = False
    return py.name(value, line), error


def _term(emitter: Emitter, node: Expr) -> tuple[Part, str | None]:
    """A term on its own, and the variable of its error if it is a chain that can fail."""
    error: str | None = None

    def emit(term: Expr) -> ast.expr:
        nonlocal error
        captured = _captured(emitter, term)
        if captured is None:
            return emitter.condition(term)
        value, error = captured
        return value

    part = emitter.part(emit, node)
    return part, error


def _step(
    emitter: Emitter, node: Logic, part: Part, inner: str | None, value: str, error: str | None, line: int
) -> list[ast.stmt]:
    """One term: its value, or the value that leaves the rest open and its error noted, if it is the first."""
    keep = [*part.body, py.assign(value, part.value, line)]
    neutral = py.assign(value, py.constant(node.operator == "&&", line), line)
    if error is None:
        return keep
    if inner is not None:
        note = py.when(py.is_none(error, line), [py.assign(error, py.name(inner, line), line)], [], line)
        failed = py.when(
            py.is_some(inner, line), [note, py.assign(inner, py.constant(None, line), line), neutral], [], line
        )
        keep = [*keep, failed]
    if not part.fails:
        return keep
    note = py.when(py.is_none(error, line), [py.assign(error, emitter.caught(line), line)], [], line)
    return [py.attempt(keep, "caught", [note, neutral], line)]
