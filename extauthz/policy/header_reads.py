"""Which headers an expression reads: one that Envoy may withhold would look absent, and so reading it is refused.

The rule kept here: what can't be seen to read declared headers alone is taken to read others.
"""

from collections.abc import Iterator
from typing import Final

from extauthz.cel import errors as cel_errors
from extauthz.cel import tree

_VIEWS: Final = frozenset({"headers", "header_values"})
HEADER_HINT: Final = "add it to `request.headers` of the configuration and to `allowed_headers` of the filter"


def undeclared_headers(root: tree.Expr, declared: frozenset[str]) -> Iterator[cel_errors.Problem]:
    """Where headers are read that are not `declared` (lower-case names), or that have no name in the expression."""
    understood: set[int] = set()  # a walk meets what holds a node before the node
    for node in tree.walk(root):
        if isinstance(node, tree.Select | tree.Has) and _is_request(node.operand):
            understood.add(id(node.operand))
        view, name = _read(node)
        if view is not None and name is not None:
            understood.add(id(view))
            if name.lower() not in declared:
                yield cel_errors.Problem.at(node.span, f"the header `{name}` is not declared", HEADER_HINT)
        elif (_is_view(node) or _is_request(node)) and id(node) not in understood:
            message = "headers are read without a name, and not all are declared"
            yield cel_errors.Problem.at(node.span, message, HEADER_HINT)


def _is_view(node: tree.Expr) -> bool:
    return isinstance(node, tree.Select | tree.Has) and node.field in _VIEWS and _is_request(node.operand)


def _is_request(node: tree.Expr) -> bool:
    return isinstance(node, tree.Variable) and node.name == "request"


def _read(node: tree.Expr) -> tuple[tree.Expr | None, str | None]:
    """The view of headers that a node reads one name of, and the name."""
    match node:
        case tree.Select(operand=view, field=name) | tree.Has(operand=view, field=name):
            pass
        case tree.Index(operand=view, index=tree.Constant(value=str() as name)):
            pass
        case tree.Call(function="@in", args=(tree.Constant(value=str() as name), view)):
            pass
        case _:
            return None, None
    return (view, name) if _is_view(view) else (None, None)
