"""Which member of a value a node of an expression reads, where it says so by a literal.

The rule kept here: a test of presence reads what it tests.
"""

from extauthz.cel import tree


def member_read(node: tree.Expr) -> tuple[tree.Expr | None, str | None]:
    """What a node reads one named member of, and the name: `m.name`, `has(m.name)`, `m["name"]`, `"name" in m`."""
    match node:
        case tree.Select(operand=whole, field=name) | tree.Has(operand=whole, field=name):
            return whole, name
        case tree.Index(operand=whole, index=tree.Constant(value=str() as name)):
            return whole, name
        case tree.Call(function="@in", args=(tree.Constant(value=str() as name), whole)):
            return whole, name
        case _:
            return None, None
