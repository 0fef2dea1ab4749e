"""What fields of one mapping mean together: each check looks at several, and each problem has a place of its own.

The rule kept here: a field that is lost was written, but its value is not known; what rests on the value is then left
alone.
"""

from collections.abc import Iterator
from typing import Final, get_args

from extauthz.policy import effect_models, models
from extauthz.policy.problems import Path, Problem, problem_at
from extauthz.policy.together_approve import is_for_one_request, one_of, problems_of_approve, problems_of_bind
from extauthz.policy.yaml_source import Document
from extauthz.values.decisions import Effect

_EFFECTS: Final[tuple[Effect, ...]] = get_args(Effect)


def problems_of_rule(document: Document, path: Path, rule: models.Rule) -> Iterator[Problem]:
    """What is wrong with the fields of a rule together; `path` leads to it."""
    yield from _effect(document, path, rule)
    yield from _expiry(document, path, rule)
    if rule.tcp and any(document.has((*path, field)) for field in ("hosts", "methods", "paths")):
        message = "`tcp: true` is only for rules without `hosts`, `methods` and `paths`"
        yield problem_at(document, (*path, "tcp"), message, key=True)
    if rule.allow is not None:
        yield from _allow(document, (*path, "allow"), rule.allow)
    if rule.deny is not None:
        yield from _distinct_headers(document, (*path, "deny", "headers"))
    if rule.challenge is not None:
        yield from problems_of_bind(document, (*path, "challenge", "bind"), rule.challenge.bind)
        if rule.challenge.accept_token and is_for_one_request(rule.challenge.bind):
            message = "a token is good for many requests, and this proof is for one"
            hint = "remove it, or `bind: request`"
            yield problem_at(document, (*path, "challenge", "accept_token"), message, hint, key=True)
    if rule.approve is not None:
        yield from problems_of_approve(document, (*path, "approve"), rule.approve)
    if isinstance(rule.mode, models.StagedMode):
        fields = ("percent", "subjects", "workloads")
        hint = "name `percent`, `subjects` or `workloads`, or write `mode: shadow`"
        yield from one_of(document, (*path, "mode", "enforce_for"), fields, "enforced for nobody", hint)


def problems_of_definitions(document: Document) -> Iterator[Problem]:
    """What is wrong with the fields of definitions together."""
    fields = ("functions", "lists", "constants", "holidays", "windows", "addresses")
    yield from one_of(document, ("spec",), fields, "defines nothing", "write `functions`, `lists` or `constants`")


def _effect(document: Document, path: Path, rule: models.Rule) -> Iterator[Problem]:
    if document.is_lost((*path, "effect")):
        return
    for effect in _EFFECTS:
        if effect != rule.effect and document.has((*path, effect)):
            message = f"a block `{effect}` beside `effect: {rule.effect}`"
            yield problem_at(document, (*path, effect), message, "remove one of them", key=True)
    if rule.effect in ("challenge", "approve") and not document.has((*path, rule.effect)):
        yield problem_at(document, (*path, "effect"), f"`effect: {rule.effect}` needs a block `{rule.effect}`")


def _expiry(document: Document, path: Path, rule: models.Rule) -> Iterator[Problem]:
    if document.is_lost((*path, "effect")):
        return
    is_guard, expires = rule.effect != "allow", document.has((*path, "expires"))
    if rule.expires_opens and not (is_guard and expires):
        message = "`expires_opens` is only for a guard with `expires`"
        yield problem_at(document, (*path, "expires_opens"), message, "remove it", key=True)
    if is_guard and expires and not rule.expires_opens and not document.is_lost((*path, "expires_opens")):
        message, hint = "a guard that expires opens access", "add `expires_opens: true` if that is meant"
        yield problem_at(document, (*path, "expires"), message, hint, key=True)


def _allow(document: Document, path: Path, block: effect_models.AllowBlock) -> Iterator[Problem]:
    removed = frozenset(block.remove_headers or ())
    for given, appended in (("headers", "append_headers"), ("response_headers", "append_response_headers")):
        yield from _distinct_headers(document, (*path, given))
        yield from _distinct_headers(document, (*path, appended))
        both = {_folded(name) for name in document.keys((*path, given))}
        for name in document.keys((*path, appended)):
            if _folded(name) in both:
                message = f"the header `{name.lower()}` is both set and appended"
                yield problem_at(document, (*path, appended, name), message, "choose one", key=True)
    for said, field in (("set", "headers"), ("appended", "append_headers")):
        for name in document.keys((*path, field)):
            if name.lower() in removed:
                message = f"the header `{name.lower()}` is both {said} and removed"
                yield problem_at(document, (*path, field, name), message, "choose one", key=True)
    for name in document.keys((*path, "query")):
        if name in (block.remove_query or ()):
            message = f"the parameter `{name}` is both set and removed"
            yield problem_at(document, (*path, "query", name), message, "choose one", key=True)


def _distinct_headers(document: Document, path: Path) -> Iterator[Problem]:
    """Names that a reader could take for one are refused: `X-A`, `x-a`, `x_a`."""
    seen: dict[str, str] = {}
    for name in document.keys(path):
        first = seen.setdefault(_folded(name), name)
        if first != name:
            yield problem_at(document, (*path, name), f"`{first}` and `{name}` are one header", "remove one", key=True)


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
