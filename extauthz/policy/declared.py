"""What a configuration says that policies may read; each is `None` where no configuration is at hand.

The rule kept here: what a configuration does not declare is never there, and a rule that reads it would wait for it for
ever: so that is an error when it is loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from extauthz import cel
from extauthz.cel import errors as cel_errors
from extauthz.cel import tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """`headers` are the lower-case names of the request headers that Envoy sends, `None` also if it sends all.

    `attributes` is the type of the name `attributes`, with the sources that are asked. `geo` are the fields of `geo`
    that databases give, `addresses` the names of lists of addresses.
    """

    headers: frozenset[str] | None = None
    attributes: cel.CelType | None = None
    geo: frozenset[str] | None = None
    addresses: frozenset[str] | None = None


NOTHING_DECLARED = Declared()


def undeclared_places(root: tree.Expr, geo: frozenset[str] | None) -> Iterator[cel_errors.Problem]:
    """What a checked expression reads of `geo`, or of `travel`, which needs it, and no database gives."""
    if geo is None:
        return
    understood: set[int] = set()  # a walk meets what holds a node before the node
    for node in tree.walk(root):
        match node:
            case tree.Select(operand=tree.Variable(name="geo") as whole, field=name):
                pass
            case tree.Has(operand=tree.Variable(name="geo") as whole, field=name):
                pass
            case tree.Variable(name="geo") if not geo and id(node) not in understood:
                yield _problem(node, "no database gives `geo`", "name one under `geo` of the configuration")
                continue
            case tree.Variable(name="travel") if "latitude" not in geo:
                hint = "name a database of cities under `geo.city` of the configuration"
                yield _problem(node, "no database gives the places that `travel` needs", hint)
                continue
            case _:
                continue
        understood.add(id(whole))
        if name not in geo:
            hint = "name a database that has it under `geo` of the configuration"
            yield _problem(node, f"no database gives `geo.{name}`", hint)


def _problem(node: tree.Expr, message: str, hint: str) -> cel_errors.Problem:
    span = node.span
    return cel_errors.Problem(message, span.line, span.column, span.end_line, span.end_column, hint)
