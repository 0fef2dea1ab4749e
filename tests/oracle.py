"""A naive reading of design section 3: what the compiled policies must agree with on decision, rule and reason.

It scans every rule of the plain documents and matches templates by recursion. It shares nothing with
`extauthz.policy.decide` and its index but CEL, the views that conditions see, and `bind`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from extauthz import cel
from extauthz.errors import Refused
from extauthz.policy.context import NAMES, Inputs, RequestScope
from extauthz.stepup.binding import Kind, bind
from extauthz.stepup.factors import FACTOR_AMR
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

Document = Mapping[str, Any]


class Verdict(NamedTuple):
    """What both readings must agree on."""

    decision: str
    rule: str | None
    reason: str


class Expressions:
    """Evaluates the expressions of one rule; variables anew each time."""

    def __init__(self, policy: Document, inputs: Inputs, params: Mapping[str, str], definitions: "Definitions") -> None:
        self._variables = policy["spec"].get("variables", {})
        self._definitions = definitions
        self._scope = RequestScope(inputs)
        self._scope.update({"request.params": params, **definitions.values})

    def value(self, source: str) -> object:
        names = (*(f"variables.{name}" for name in self._variables), *self._definitions.values)
        return program(source, names, self._definitions.functions)(_Names(self.look_up))

    def look_up(self, name: str) -> object:
        if name.startswith("variables."):
            return self.value(self._variables[name.removeprefix("variables.")])
        return self._scope[name]


@cache
def program(source: str, names: tuple[str, ...], functions: tuple[cel.Function, ...]) -> cel.Program:
    types = {**NAMES, **dict.fromkeys(names, cel.DYN)}
    return cel.compile(source, variables=types, functions=functions, nan_ordering_is_error=True)


class Definitions(NamedTuple):
    """Lists and constants by name, and functions that evaluate their bodies anew at every call."""

    values: dict[str, object]
    functions: tuple[cel.Function, ...]


def defined(documents: Iterable[Document]) -> Definitions:
    specs = [one["spec"] for one in documents if one["kind"] == "Definitions"]
    plain = [
        (name, value) for one in specs for kind in ("lists", "constants") for name, value in one.get(kind, {}).items()
    ]
    values = {f"definitions.{name}": value for name, value in plain}
    functions: list[cel.Function] = []

    def function(name: str, parameters: list[str], body: str) -> cel.Function:
        def call(*args: object) -> object:
            known = {**values, **dict(zip(parameters, args, strict=True))}
            return cel.compile(
                body, variables=dict.fromkeys(known, cel.DYN), functions=functions, nan_ordering_is_error=True
            )(known)

        return cel.Function(name, [cel.Overload(name, (cel.DYN,) * len(parameters), cel.DYN, call)])

    for spec in specs:
        for name, one in spec.get("functions", {}).items():
            parameters = [parameter["name"] for parameter in one.get("parameters", [])]
            functions.append(function(f"definitions.{name}", parameters, one["body"]))
    return Definitions(values, tuple(functions))


class _Names(dict[str, object]):
    """Keeps nothing: every value is looked up when it is read."""

    def __init__(self, look_up: Callable[[str], object]) -> None:
        self._look_up = look_up

    def __missing__(self, name: str) -> object:
        return self._look_up(name)


Judged = tuple[str, Document, Expressions, object]
"""A rule that is obeyed, by name, and what became of its condition: `True`, `False` or `"error"`."""


def obeyed(documents: Sequence[Document], inputs: Inputs) -> list[Judged]:
    """Step 1: the candidates, without those that are in shadow or expired, in the order of their names."""
    rules: list[Judged] = []
    definitions = defined(documents)
    for policy in documents:
        for rule in policy["spec"].get("rules", ()):
            name = f"{policy['metadata']['name']}/{rule['name']}"
            params = captures(policy, rule, inputs.request)
            if params is None or not fits_workload(rule.get("workloads"), inputs.identity):
                continue
            if "expires" in rule and inputs.now >= datetime.fromisoformat(rule["expires"]).timestamp():
                continue
            if enforced(name, rule.get("mode", "enforce"), inputs.identity):
                expressions = Expressions(policy, inputs, params, definitions)
                rules.append((name, rule, expressions, outcome(expressions, rule.get("when", "true"))))
    return sorted(rules, key=lambda entry: entry[0])


def enforced(name: str, mode: Any, identity: Identity) -> bool:
    if isinstance(mode, str):
        return mode == "enforce"
    stage, subject = mode["enforce_for"], identity.subject
    if "workloads" in stage and fits_workload(stage["workloads"], identity):
        return True
    if subject is None:
        return False
    key = json.dumps([subject.issuer, subject.id], separators=(",", ":"))
    place = int(sha256(f"{name}\n{key}".encode()).hexdigest()[:16], 16)
    return subject.id in stage.get("subjects", ()) or place < Fraction(stage.get("percent", 0)) / 100 * 2**64


def audit_required(
    documents: Sequence[Document], request: RequestView, identity: Identity, facts: Facts, now: float
) -> bool:
    """Whether a rule that wants its record on disk matches, or is a guard that errors."""
    rules = obeyed(documents, Inputs(request=request, identity=identity, facts=facts, now=now))
    return any(
        "audit" in rule and (result is True or (result == "error" and rule["effect"] != "allow"))
        for _, rule, _, result in rules
    )


def judge(  # noqa: C901 - it is read beside the text, step by step
    documents: Sequence[Document], request: RequestView, identity: Identity, facts: Facts, now: float, key: bytes
) -> Verdict:
    """The decision on one request by the letter of "How rules combine"."""
    inputs = Inputs(request=request, identity=identity, facts=facts, now=now)
    rules = obeyed(documents, inputs)

    def matching(effect: str) -> list[tuple[str, Document, Expressions]]:
        return [(name, r, e) for name, r, e, result in rules if r["effect"] == effect and result is True]

    for name, rule, _ in matching("deny"):
        return Verdict("deny", name, rule.get("deny", {}).get("reason", "denied"))
    for name, rule, _, result in rules:
        if rule["effect"] != "allow" and result == "error":
            return Verdict("deny", name, "policy-error")
    allows = matching("allow")
    if not allows:
        return Verdict("deny", None, "no-rule-allows")
    for effect, word, reason in (
        ("challenge", "challenge", "proof-required"),
        ("approve", "hold", "approval-required"),
    ):
        guards = matching(effect)
        subject = identity.user if effect == "challenge" else identity.subject
        if guards and request.http is None:
            return Verdict("deny", guards[0][0], "needs-http")
        if guards and subject is None:
            return Verdict("deny", guards[0][0], "needs-subject")
        unmet = []
        for name, rule, expressions in guards:
            binding = bound(name, rule[effect], expressions, inputs, key)
            if binding is None:
                return Verdict("deny", name, "policy-error")
            if isinstance(binding, Refused):
                return Verdict("deny", name, binding.reason)
            if not (effect == "challenge" and met(rule["challenge"], binding, inputs)):
                unmet.append(name)
        if unmet:
            return Verdict(word, unmet[0], reason)
    return mutated(allows)


def mutated(allows: Sequence[tuple[str, Document, Expressions]]) -> Verdict:
    """Step 6, with request headers alone: the other kinds of mutations have tests of their own."""
    said: dict[str, list[tuple[str, object]]] = {}
    for name, rule, expressions in allows:
        for header, source in sorted(rule.get("allow", {}).get("headers", {}).items()):
            try:
                said.setdefault(header, []).append((name, expressions.value(source)))
            except cel.EvalError:
                return Verdict("deny", name, "policy-error")
    quarrels = [who[0][0] for who in said.values() if len({value for _, value in who}) > 1]
    if quarrels:
        return Verdict("deny", min(quarrels), "header-conflict")
    return Verdict("allow", allows[0][0], "allowed")


def outcome(expressions: Expressions, source: str) -> object:
    try:
        return expressions.value(source)
    except cel.EvalError:
        return "error"


def bound(rule: str, block: Document, expressions: Expressions, inputs: Inputs, key: bytes) -> str | Refused | None:
    kind = block.get("bind", "action")
    try:
        scope = [expressions.value(source) for source in kind["scope"]] if isinstance(kind, dict) else []
        word: Kind = "scope" if isinstance(kind, dict) else kind
        return bind(word, rule=rule, scope=scope, request=inputs.request, identity=inputs.identity, key=key)
    except cel.EvalError:
        return None
    except Refused as error:
        return error


def met(block: Document, binding: str, inputs: Inputs) -> bool:
    minutes = float(block.get("max_age", "5m").removesuffix("m"))
    return any(
        grant.subject == inputs.identity.subject
        and grant.session == inputs.identity.session
        and grant.holder in inputs.identity.holders
        and grant.binding == binding
        and grant.factor in [FACTOR_AMR[factor] for factor in block["factors"]]
        and inputs.now < grant.issued_at + minutes * 60
        and inputs.now < grant.expires_at
        and grant.uses != 0
        for grant in inputs.facts.grants
    )


def captures(policy: Document, rule: Document, request: RequestView) -> dict[str, str] | None:
    """What the rule's templates capture, or `None` if host, method or path do not fit."""
    http = request.http
    hosts = [rule.get("hosts"), policy["spec"].get("hosts")]
    if http is None:
        anywhere = not any((*hosts, rule.get("methods"), rule.get("paths")))
        return {} if anywhere and (rule.get("tcp") or rule["effect"] != "allow") else None
    for patterns in hosts:
        if patterns and not any(fits_host(pattern, http.host) for pattern in patterns):
            return None
    methods = rule.get("methods")
    if methods and http.method not in methods and not (http.method == "HEAD" and "GET" in methods):
        return None
    if "paths" not in rule:
        return {}
    found = [walk(template.strip("/").split("/"), list(http.segments)) for template in rule["paths"]]
    fitting = [one for one in found if one is not None]
    return {name: value for one in fitting for name, value in one.items()} if fitting else None


def walk(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if template in ([], [""]):
        return {} if not segments else None
    head, rest = template[0], template[1:]
    if head == "**":
        return {}
    if head.endswith("=**}"):
        return {head[1:-4]: "/".join(segments)}
    if not segments or not segments[0]:
        return None
    if head.startswith("{"):
        deeper = walk(rest, segments[1:])
        return None if deeper is None else {head[1:-1]: segments[0], **deeper}
    return walk(rest, segments[1:]) if head in ("*", segments[0]) else None


def fits_host(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) and host != pattern[1:] if pattern.startswith("*.") else host == pattern


def fits_workload(patterns: Sequence[str] | None, identity: Identity) -> bool:
    if patterns is None:
        return True
    if identity.workload is None:
        return False
    have = identity.workload.id.split("/")
    for pattern in patterns:
        want = pattern.split("/")
        if want[-1] == "**" and len(have) >= len(want) - 1:
            want, have_here = want[:-1], have[: len(want) - 1]
        else:
            have_here = have
        if len(want) == len(have_here) and all(w in ("*", h) for w, h in zip(want, have_here, strict=True)):
            return True
    return False
