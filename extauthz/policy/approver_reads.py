"""What conditions on approvers read: a claim that no vote keeps, and a value that the rule does not show, are never
there.

The rule kept here is that of `declared`: who waits for what is never there waits for ever, so that is an error when it
is loaded.
"""

from collections.abc import Collection, Iterator

from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.policy.member_reads import member_read
from extauthz.policy.problems import did_you_mean


def unkept_claims(root: tree.Expr, kept: Collection[str] | None) -> Iterator[cel_errors.Problem]:
    """Where claims of approvers are read that are not `kept`; `None` where no configuration says which are."""
    if kept is None:
        return
    for node, name in _members(root, "approver", "claims"):
        if name is None and not kept:
            hint = "list those that conditions read in `approvals.claims` of the configuration"
            yield cel_errors.Problem.at(node.span, "no claim of approvers is kept", hint)
        elif name is not None and name not in kept:
            hint = did_you_mean(name, kept) or f"add `{name}` to `approvals.claims` of the configuration"
            yield cel_errors.Problem.at(node.span, f"the claim `{name}` of approvers is not kept", hint)


def unshown_values(root: tree.Expr, shown: Collection[str]) -> Iterator[cel_errors.Problem]:
    """Where values are read that are not among those that the rule shows, which are `shown` by name."""
    for node, name in _members(root, "approval", "show"):
        if name is None and not shown:
            yield cel_errors.Problem.at(node.span, "the rule shows nothing", "write `show: {NAME: CEL}`")
        elif name is not None and name not in shown:
            hint = did_you_mean(name, shown) or f"write `show: {{{name}: CEL}}`"
            yield cel_errors.Problem.at(node.span, f"the rule does not show `{name}`", hint)


def _members(root: tree.Expr, name: str, field: str) -> Iterator[tuple[tree.Expr, str | None]]:
    """Where members of a field of a name are read, and which; `None` where no literal says it."""

    def is_field(node: tree.Expr) -> bool:
        match node:
            case tree.Select(operand=tree.Variable(name=whole)) | tree.Has(operand=tree.Variable(name=whole)):
                return whole == name and node.field == field
            case _:
                return False

    understood: set[int] = set()  # a walk meets what holds a node before the node
    for node in tree.walk(root):
        whole, member = member_read(node)
        if whole is not None and is_field(whole):
            understood.add(id(whole))
            yield node, member
        elif is_field(node) and id(node) not in understood:
            yield node, None
