"""What conditions on approvers see, and by which terms those who answer are counted now.

The rule kept here: a condition that errs takes nobody.
"""

from collections.abc import Mapping
from typing import Final

from extauthz import cel
from extauthz.approval.terms import Condition, Terms
from extauthz.policy.context import VariableScope
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.rules import ApproveTerms
from extauthz.policy.views import Entries
from extauthz.values.approvals import Approver, Matter
from extauthz.values.request import EMPTY

_APPROVER: Final = cel.StructType(
    "approver",
    {
        "sub": cel.Field(cel.STRING),
        "iss": cel.Field(cel.STRING),
        "person": cel.Field(cel.STRING),
        "groups": cel.Field(cel.list_of(cel.STRING)),
        "claims": cel.Field(cel.DYN),
    },
)
_APPROVAL: Final = cel.StructType(
    "approval",
    {
        "rule": cel.Field(cel.STRING),
        "sub": cel.Field(cel.STRING),
        "iss": cel.Field(cel.STRING),
        "workload": cel.Field(cel.STRING),
        "method": cel.Field(cel.STRING),
        "host": cel.Field(cel.STRING),
        "path": cel.Field(cel.STRING),
        "show": cel.Field(cel.map_of(cel.STRING, cel.STRING)),
    },
)
NAMES: Final[Mapping[str, cel.CelType]] = {"approver": _APPROVER, "approval": _APPROVAL}
"""All that a condition on approvers may use, beside definitions."""


def condition_on(program: cel.Program, constants: Mapping[str, object]) -> Condition:
    """The condition of a program over NAMES; `constants` are the lists and constants of definitions."""

    def takes(approver: Approver, matter: Matter) -> bool:
        names: dict[str, object] = {"approver": _approver(approver), "approval": _approval(matter)}
        try:
            return program.evaluate(VariableScope(names, EMPTY, constants)) is True
        except cel.EvalError:
            return False

    return takes


def terms_of(policies: PolicySet, rule: str, *, now: float) -> Terms | None:
    """By which terms answers to an approval for this rule (`policy/rule`) are counted at `now` (seconds since the
    epoch); `None` where no such rule is obeyed any more: then nobody can answer."""
    for one in policies.rules:
        if one.name == rule:
            living = one.mode != "shadow" and (one.expires is None or now < one.expires)
            return one.terms.voting if living and isinstance(one.terms, ApproveTerms) else None
    return None


def _approver(approver: Approver) -> Entries:
    subject = approver.subject
    return Entries(
        {
            "sub": subject.id,
            "iss": subject.issuer,
            "person": approver.person,
            "groups": sorted(approver.groups),
            "claims": approver.claims,
        }
    )


def _approval(matter: Matter) -> Entries:
    return Entries(
        {
            "rule": matter.rule,
            "sub": matter.subject.id,
            "iss": matter.subject.issuer,
            "workload": matter.workload,
            "method": matter.method,
            "host": matter.host,
            "path": matter.path,
            "show": matter.show,
        }
    )
