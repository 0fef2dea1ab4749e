"""What a configuration says that policies may read; each is `None` where no configuration is at hand.

The rule kept here: what a configuration does not declare is never there, and a rule that reads it would wait for it for
ever: so that is an error when it is loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from extauthz import cel
from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.values.decisions import Factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuers:
    """Who says who somebody is: the issuers `of_users`, and the one `of_approvers`, `None` where there is none."""

    of_users: frozenset[str] = frozenset()
    of_approvers: str | None = None

    @property
    def meant(self) -> str | None:
        """The issuer of users that is meant where none is named; `None` where it could be several, or none."""
        if self.of_approvers in self.of_users:
            return self.of_approvers
        return next(iter(self.of_users)) if len(self.of_users) == 1 else None


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """`headers` are the lower-case names of the request headers that Envoy sends, `None` also if it sends all.

    `attributes` is the type of the name `attributes`, with the sources that are asked. `geo` are the fields of `geo`
    that databases give, `addresses` the names of lists of addresses. `issuers` are those of users and approvers,
    `approver_claims` the claims of approvers that votes keep, `factors` those that users can prove.
    """

    headers: frozenset[str] | None = None
    attributes: cel.CelType | None = None
    geo: frozenset[str] | None = None
    addresses: frozenset[str] | None = None
    issuers: Issuers | None = None
    approver_claims: frozenset[str] | None = None
    factors: frozenset[Factor] | None = None


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
