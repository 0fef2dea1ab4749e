"""From recorded traffic to a draft: policies that allow what was allowed, and tests that say so.

The rule kept here: the draft allows nothing that was not seen being allowed, but for the values in its wildcards; and
every test that is written passes. It is a draft: who reads it decides what of it is meant.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import msgspec
import yaml

from extauthz.history.discover import CRITICAL, Caller, Route, Traffic
from extauthz.policy.cases import read_cases
from extauthz.policy.hosts import parse as parse_host
from extauthz.policy.load import load_text
from extauthz.policy.trial import run
from extauthz.policy.yaml_source import load_documents
from extauthz.values.counting import counted

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 100
_SOMEBODY: Final = {"sub": "somebody"}
"""Stands for the people of the records, whose names are nobody's business in a test."""

Plain = dict[str, Any]


class Drafted(msgspec.Struct, frozen=True):
    """A policy, its tests (`None` if nothing can be tested), and denials that it would let through."""

    name: str
    policy: str
    tests: str | None
    now_allowed: tuple[str, ...]


def draft(traffic: Traffic) -> list[Drafted]:
    """A policy with tests for each host, and one for TCP; empty where nothing was allowed."""
    by_host: dict[str, list[Route]] = defaultdict(list)
    for route in traffic.routes():
        by_host[route.host].append(route)
    names = _Names()
    drafted = [_draft_host(names.take("draft", host), host, routes) for host, routes in by_host.items()]
    found = [one for one in drafted if one is not None]
    if traffic.tcp:
        found.append(_draft_tcp(names.take("draft", "tcp"), traffic.tcp))
    return found


class _Names:
    """Gives every name once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def take(self, *words: str) -> str:
        wanted = _NOT_IN_NAMES.sub("-", "-".join(words).lower()).strip("-")[:_LONGEST].strip("-") or "draft"
        name, number = wanted, 1
        while name in self._given:
            number += 1
            name = f"{wanted}-{number}"
        self._given.add(name)
        return name


def _draft_host(name: str, host: str, routes: list[Route]) -> Drafted | None:
    rules: list[Plain] = []
    cases: list[Plain] = []
    names, titles = _Names(), _Names()
    for (template, with_user), group in _groups(routes):
        methods = sorted({route.method for route in group})
        callers: Counter[Caller] = sum((_with(route.allowed, with_user) for route in group), Counter())
        rule = _rule(names.take(*methods, template), methods, template, callers)
        rules.append(rule)
        if with_user and any(route.points >= CRITICAL for route in group):
            rules.append(_step_up(names, rule))
        for route in group:
            cases += _cases(f"{name}/{rule['name']}", route, with_user, titles)
    if not rules:
        return None
    spec: Plain = {"hosts": [host]} if _is_pattern(host) else {}
    document = _document("Policy", name, {**spec, "rules": rules})
    denials = [case for route in routes for case in _denials(route, titles)]
    return _checked(name, document, cases, denials)


def _groups(routes: Iterable[Route]) -> Iterator[tuple[tuple[str, bool], list[Route]]]:
    """The routes of one template that the same callers may use, apart for those with and without a user."""
    found: dict[tuple[str, bool, frozenset[str]], list[Route]] = defaultdict(list)
    for route in routes:
        for with_user in (False, True):
            if callers := _with(route.allowed, with_user):
                found[route.template, with_user, frozenset(workload for workload, _ in callers)].append(route)
    for (template, with_user, _), group in found.items():
        yield (template, with_user), group


def _with(callers: Counter[Caller], with_user: bool) -> Counter[Caller]:
    return Counter({caller: count for caller, count in callers.items() if caller[1] is with_user})


def _rule(name: str, methods: list[str], template: str, callers: Counter[Caller]) -> Plain:
    workloads = sorted({workload for workload, _ in callers})
    rule: Plain = {
        "name": name,
        "description": f"seen {counted(callers.total(), 'time')}",
        "methods": [method for method in methods if not (method == "HEAD" and "GET" in methods)],
        "paths": [template],
    }
    if "" not in workloads:
        rule["workloads"] = workloads
    if all(with_user for _, with_user in callers):
        rule["when"] = "has(user.sub)"
    return {**rule, "effect": "allow"}


def _step_up(names: _Names, rule: Plain) -> Plain:
    """A challenge in shadow beside what looks critical: it is recorded and replayed, and nobody feels it."""
    return {
        "name": names.take("step-up", rule["name"]),
        "description": "looks critical: in shadow, so that its friction can be seen before anyone feels it",
        **{field: rule[field] for field in ("methods", "paths", "workloads") if field in rule},
        "mode": "shadow",
        "effect": "challenge",
        "challenge": {"factors": ["totp", "webauthn"]},
    }


def _cases(rule: str, route: Route, with_user: bool, titles: _Names) -> Iterator[Plain]:
    callers = sorted(workload for workload, _ in _with(route.allowed, with_user))
    where = f"{route.method} {route.template}"
    allowed = _case(route, (callers[0], with_user), {"decision": "allow", "rules": {rule: "match"}})
    yield {"name": titles.take(where, "is allowed"), **allowed}
    if with_user or "" not in callers:
        yield {"name": titles.take(where, "nobody is denied"), **_case(route, ("", False), {"decision": "deny"})}


def _denials(route: Route, titles: _Names) -> Iterator[Plain]:
    for caller in sorted(route.denied.keys() - route.allowed.keys()):
        yield {
            "name": titles.take(route.method, route.template, "stays denied"),
            **_case(route, caller, {"decision": "deny"}),
        }


def _case(route: Route, caller: Caller, expect: Plain) -> Plain:
    path = "/".join(quote(segment, safe="@:$!*,+=~") for segment in route.example.split("/"))
    case: Plain = {"request": {"method": route.method, "host": route.host, "path": path}}
    if caller[0]:
        case["workload"] = caller[0]
    if caller[1]:
        case["user"] = dict(_SOMEBODY)
    return {**case, "expect": expect}


def _draft_tcp(name: str, callers: Counter[str]) -> Drafted:
    workloads = sorted(callers)
    rule: Plain = {
        "name": "tcp",
        "description": f"seen {counted(callers.total(), 'time')}",
        "tcp": True,
        "effect": "allow",
    }
    if "" not in workloads:
        rule["workloads"] = workloads
    case: Plain = {"name": "tcp-is-allowed", "request": {"tcp": True}, "expect": {"decision": "allow"}}
    if workloads[0]:
        case["workload"] = workloads[0]
    return _checked(name, _document("Policy", name, {"rules": [rule]}), [case], [])


def _document(kind: str, name: str, spec: Plain) -> Plain:
    return {"apiVersion": "extauthz/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _checked(name: str, policy: Plain, cases: list[Plain], denials: list[Plain]) -> Drafted:
    """The draft with those of its cases that hold; a denial that does not hold any more is told."""
    text = _yaml(policy)
    policies = load_text(text, f"{name}.yaml")
    every = [*cases, *denials]
    kept: list[Plain] = []
    if every:
        tests = load_documents(_yaml(_document("PolicyTest", name, {"cases": every})), f"{name}.test.yaml")
        held = {
            outcome.case for suite in read_cases(tests) for outcome in run(suite, policies) if not outcome.differences
        }
        kept = [case for case in every if case["name"] in held]
    return Drafted(
        name=name,
        policy=text,
        tests=_yaml(_document("PolicyTest", name, {"cases": kept})) if kept else None,
        now_allowed=tuple(
            f"{case['request']['method']} {case['request']['host']}{case['request']['path']}"
            for case in denials
            if case not in kept
        ),
    )


def _is_pattern(host: str) -> bool:
    try:
        parse_host(host)
    except ValueError:
        return False
    return not host.startswith("*")


def _yaml(document: Plain) -> str:
    text: str = yaml.dump(document, Dumper=_Plainly, sort_keys=False, allow_unicode=True, width=120)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    # What nobody would see, or see elsewhere than it stands, came with a request; as an escape it is seen.
    return yaml.dump(document, Dumper=_Plainly, sort_keys=False, width=120)


class _Plainly(yaml.SafeDumper):
    """Writes out what occurs twice: policies have no anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True
