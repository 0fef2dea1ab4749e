"""Which headers an expression reads: one that Envoy may withhold would look absent, and so reading it is refused.

The rule kept here: what can't be seen to read declared headers alone is taken to read others.
"""

from collections.abc import Iterator
from typing import Final

from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.policy.member_reads import member_read

_VIEWS: Final = frozenset({"headers", "header_values"})
HEADER_HINT: Final = "add it to `request.headers` of the configuration and to `allowed_headers` of the filter"


def undeclared_headers(root: tree.Expr, declared: frozenset[str]) -> Iterator[cel_errors.Problem]:
    """Where headers are read that are not `declared` (lower-case names), or that have no name in the expression."""
    understood: set[int] = set()  # a walk meets what holds a node before the node
    for node in tree.walk(root):
        if isinstance(node, tree.Select | tree.Has) and _is_request(node.operand):
            understood.add(id(node.operand))
        view, name = member_read(node)
        if view is not None and name is not None and is_view(view):
            understood.add(id(view))
            if name.lower() not in declared:
                yield cel_errors.Problem.at(node.span, f"the header `{name}` is not declared", HEADER_HINT)
        elif (is_view(node) or _is_request(node)) and id(node) not in understood:
            message = "headers are read without a name, and not all are declared"
            yield cel_errors.Problem.at(node.span, message, HEADER_HINT)


def is_view(node: tree.Expr) -> bool:
    """Whether a node is all headers of the request, by their names."""
    return isinstance(node, tree.Select | tree.Has) and node.field in _VIEWS and _is_request(node.operand)


def _is_request(node: tree.Expr) -> bool:
    return isinstance(node, tree.Variable) and node.name == "request"
