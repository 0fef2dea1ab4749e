"""All warnings about a policy set, from every family, in the order of the files.

Pure: documents and their policy set come in, compiled without a problem; time and configuration are arguments.
"""

from collections.abc import Iterable, Sequence

from extauthz.policy.lint import (
    absence,
    foreign,
    idling,
    ignores,
    literals,
    loosely,
    meeting,
    neighbours,
    opening,
    reach,
    risks,
    telling,
)
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.foreign import Configured
from extauthz.policy.models import PolicyDocument
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.yaml_source import Document


def lint(
    documents: Iterable[Document], policies: PolicySet, *, now: float, configured: Configured | None = None
) -> tuple[Finding, ...]:
    """Every warning that no comment accepts. `now` is in seconds since the epoch; `configured` is what
    extauthz.yaml lists, if there is one."""
    documents = list(documents)
    rules = _subjects(documents, policies)
    living = [one for one in rules if one.rule.expires is None or one.rule.expires > now]
    listed = configured or Configured()
    found = [
        *reach.findings(rules, now),
        *neighbours.findings(living),
        *meeting.findings(living, listed),
        *loosely.findings(living),
        *literals.findings(living),
        *absence.findings(rules),
        *foreign.findings(rules, listed),
        *idling.findings(living, listed),
        *opening.findings(living),
    ]
    told = [
        *ignores.accepted(rules, found),
        *risks.findings(documents, policies),
        *telling.findings((rule.name for rule in policies.rules), listed.told),
    ]
    return tuple(sorted(told, key=_order))


def _order(finding: Finding) -> tuple[str, int, int, str, str]:
    problem = finding.problem
    return problem.file, problem.line, problem.column, finding.kind, finding.topic


def _subjects(documents: Iterable[Document], policies: PolicySet) -> Sequence[Subject]:
    """The rules of the documents as written and as compiled."""
    compiled = {rule.name: rule for rule in policies.rules}
    found = []
    for document in documents:
        if document.value.get("kind") != "Policy":
            continue
        model = PolicyDocument.model_validate(document.value)
        for number, rule in enumerate(model.spec.rules):
            found.append(
                Subject(
                    rule=compiled[f"{model.metadata.name}/{rule.name}"],
                    model=rule,
                    policy_hosts=tuple(model.spec.hosts or ()),
                    document=document,
                    path=("spec", "rules", number),
                )
            )
    return found
