"""Approvals that are good for more than people were asked about: for another amount, account or body.

The rule kept here: what a rule shows or weighs of a request is what people answer by. Understood are fields that are
read by name, also those behind variables; a request that is handed on whole is left alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from extauthz import cel
from extauthz.cel import Program, tree
from extauthz.policy.approving import NAMES
from extauthz.policy.context import PARAMS
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.presence import spelled
from extauthz.policy.rules import ApproveTerms, Rule

_CONTENT: Final = frozenset({"raw_path", "query", "query_all", "body", "json", "form", "multipart", "grpc", "size"})
_PATH: Final = frozenset({"path"})
_HEADERS: Final = frozenset({"headers", "header_values"})
"""Only where they are shown: a condition asks them who calls, and how."""


def findings(rules: Iterable[Subject]) -> Iterator[Finding]:
    """The warnings of this kind, one for each rule."""
    for subject in rules:
        terms, model = subject.rule.terms, subject.model.approve
        if not isinstance(terms, ApproveTerms) or model is None or terms.bind not in ("action", "session"):
            continue
        read = next(_varying(subject.rule, terms, model.approvers.when), None)
        if read is not None:
            yield subject.finding(
                "loose-approval",
                ("approve", "bind") if "bind" in model.model_fields_set else ("approve",),
                f"by `bind: {terms.bind}` an approval of `{subject.rule.name}` for one `{read}` is good for any other",
                "write `bind: request`, or name under `bind: {scope: [CEL]}` what people answer by",
            )


def _varying(rule: Rule, terms: ApproveTerms, approvers: str | None) -> Iterator[str]:
    """What the rule reads that differs from request to request, as it is written."""
    fields = _CONTENT if _has_one_path(rule) else _CONTENT | _PATH
    variables = {**rule.policy.shared, **rule.policy.per_rule}
    for _, program in terms.show:
        yield from _fields(program.tree, fields | _HEADERS, variables)
    if rule.when is not None:
        yield from _fields(rule.when.tree, fields, variables)
    if approvers is not None and "path" in fields:
        for node in tree.walk(cel.read(approvers, variables=NAMES)):
            match node:
                case tree.Select(operand=tree.Variable(name="approval"), field="path"):
                    yield spelled(node)
                case _:
                    pass


def _has_one_path(rule: Rule) -> bool:
    templates = rule.place.templates
    return len(templates) == 1 and not templates[0].tail and None not in templates[0].segments


def _fields(root: tree.Expr, fields: frozenset[str], variables: Mapping[str, Program]) -> Iterator[str]:
    """The fields of the request among these that an expression reads, and the captures of its path."""
    pending, seen = [root], set[str]()
    while pending:
        for node in tree.walk(pending.pop()):
            match node:
                case tree.Select(operand=tree.Variable(name="request"), field=field) if field in fields:
                    yield spelled(node)
                case tree.Has(operand=tree.Variable(name="request"), field=field) if field in fields:
                    yield f"request.{field}"
                case tree.Variable(name=name) if name == PARAMS:
                    yield name
                case tree.Variable(name=name) if name in variables and name not in seen:
                    seen.add(name)
                    pending.append(variables[name].tree)
                case _:
                    pass
