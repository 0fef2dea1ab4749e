"""Risk models that nobody reads, levels that nothing leads to, and signals that count one thing twice.

These warnings are of documents without rules, so that no comment accepts them.
"""

from collections.abc import Iterable, Iterator
from math import fsum

from extauthz.policy.lint.findings import Finding, Related
from extauthz.policy.lint.presence import shape
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import Path, problem_at
from extauthz.policy.risk_document import RiskModelDocument
from extauthz.policy.risk_models import RiskModel
from extauthz.policy.yaml_source import Document


def findings(documents: Iterable[Document], policies: PolicySet) -> Iterator[Finding]:
    """The warnings of these kinds."""
    models = {model.name: model for model in policies.risk_models}
    read = {rule.risk.name for rule in policies.rules if rule.risk is not None}
    for document in documents:
        if document.value.get("kind") != "RiskModel":
            continue
        model = models[RiskModelDocument.model_validate(document.value).metadata.name]
        if policies.rules and model.name not in read:
            message = f"no rule reads the risk model `{model.name}`"
            hint = "read `risk` in a policy that means it, or remove it"
            yield _finding("unused-risk-model", document, ("metadata", "name"), message, hint, key=False)
        yield from _unreached(document, model)
        yield from _alike(document, model)


def _unreached(document: Document, model: RiskModel) -> Iterator[Finding]:
    most = fsum(signal.weight for signal in model.signals)
    for level in model.levels:
        if level.begins_at > most:
            message = f"the level `{level.name}` begins at {level.begins_at:g}; all signals together count {most:g}"
            path: Path = ("spec", "levels", level.name)
            yield _finding("unreachable-level", document, path, message, "lower it, or raise weights")


def _alike(document: Document, model: RiskModel) -> Iterator[Finding]:
    seen: dict[object, str] = {}
    for signal in model.signals:
        first = seen.setdefault(shape(signal.when.tree), signal.name)
        if first != signal.name:
            message = f"the signal `{signal.name}` has the condition of `{first}`, so that both count whenever one does"
            path: Path = ("spec", "signals", signal.name)
            line, column = document.key_place(("spec", "signals", first))
            other = Related(file=document.file, line=line, column=column, message=f"`{first}` is here")
            yield _finding("duplicate-signal", document, path, message, "remove one of them", related=(other,))


def _finding(
    kind: str,
    document: Document,
    path: Path,
    message: str,
    hint: str,
    *,
    key: bool = True,
    related: tuple[Related, ...] = (),
) -> Finding:
    problem = problem_at(document, path, message, hint, key=key)
    return Finding(kind=kind, rule="", problem=problem, topic=str(path[-1]), related=related)
