"""Documents to a PolicySet: everything that can be known before a request comes is worked out here.

Pure: text comes in, `load` reads the files. The rule kept here: all problems of all documents are told at once, and a
set with one problem is no set.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from extauthz import cel
from extauthz.policy import hosts, models, staging, templates, workloads
from extauthz.policy.context import PARAMS, VARIABLES
from extauthz.policy.defining import define
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.expressions import Expressions
from extauthz.policy.hosts import HostPattern
from extauthz.policy.index import Index, Place
from extauthz.policy.policy_set import (
    NOTHING,
    AllowTerms,
    ApproveTerms,
    ChallengeTerms,
    DenyTerms,
    Policy,
    PolicySet,
    Programs,
    Rule,
    Terms,
)
from extauthz.policy.problems import Path, PolicyErrors, Problem, did_you_mean, problem_at, problems_of
from extauthz.policy.staging import Staged
from extauthz.policy.yaml_source import Document
from extauthz.stepup.binding import Kind
from extauthz.stepup.factors import FACTOR_AMR
from extauthz.values.decisions import Deny, Effect, Mode, Outcome, RuleResult
from extauthz.values.identity import Subject
from extauthz.values.request import EMPTY

MAX_ENTRIES: Final = 10_000
"""Of the index, for one rule: each host with each method with each path with each workload is one."""
KINDS: Final = ("Policy", "Definitions", "PolicyTest")

Parsed = TypeVar("Parsed")


def compile_documents(documents: Iterable[Document], *, declared_headers: frozenset[str] | None = None) -> PolicySet:
    """The policies among the documents, compiled; those of `kind: PolicyTest` are left to `policy test`.

    `declared_headers` are the lower-case names of the request headers that Envoy sends, `None` if it sends all.

    Raises:
        PolicyErrors: every problem of every document.
    """
    read = _Reading(documents)
    problems = read.problems
    definitions = define(read.definitions, problems)
    if read.broken_definitions:
        definitions = replace(definitions, broken=True)
    compiled: list[Rule] = []
    shared: dict[str, cel.Program] = {}
    for document, model in read.policies:
        one = _PolicyCompiler(document, model, Expressions(document, declared_headers, shared, definitions))
        compiled += one.rules()
        problems += one.problems
    for document in read.broken:
        problems += _problems_of_conditions(document, Expressions(document, declared_headers, {}, definitions))
    if problems:
        raise PolicyErrors(problems)
    compiled.sort(key=lambda rule: rule.name)
    return PolicySet(
        revision=_revision(*(model for _, model in read.definitions), *(model for _, model in read.policies)),
        settable_headers=frozenset().union(*(_settable(rule) for rule in compiled)),
        rules=tuple(compiled),
        index=Index(rule.place for rule in compiled),
    )


Model = TypeVar("Model", models.PolicyDocument, models.DefinitionsDocument)


class _Reading:
    """Documents by kind, as models.

    `broken` are policies that are none, whose problems are told; `broken_definitions` is whether there are such too.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self.problems: list[Problem] = []
        self.policies: list[tuple[Document, models.PolicyDocument]] = []
        self.definitions: list[tuple[Document, models.DefinitionsDocument]] = []
        self.broken: list[Document] = []
        self.broken_definitions = False
        self._seen: dict[tuple[str, str], str] = {}
        for document in documents:
            self._read(document)

    def _read(self, document: Document) -> None:
        value = document.value
        if not isinstance(value, dict):
            self._refuse(document, (), "must be a mapping", "begin with `apiVersion: extauthz/v1`")
            return
        kind = value.get("kind")
        if kind == "PolicyTest":
            return
        if kind == "Definitions":
            definitions = self._model(document, models.DefinitionsDocument)
            if definitions is not None:
                self.definitions.append((document, definitions))
            else:
                self.broken_definitions = True
        elif isinstance(kind, str) and kind not in KINDS:
            hint = did_you_mean(kind, KINDS) or "write `Policy`, `Definitions` or `PolicyTest`"
            self._refuse(document, ("kind",), f"unknown kind `{kind}`", hint)
        else:
            policy = self._model(document, models.PolicyDocument)
            if policy is not None:
                self.policies.append((document, policy))
            else:
                self.broken.append(document)

    def _model(self, document: Document, of: type[Model]) -> Model | None:
        try:
            model = of.model_validate(document.value)
        except ValidationError as error:
            self.problems += problems_of(error, of, document)
            return None
        name, word = model.metadata.name, model.kind.lower()
        place = f"{document.file}:{document.key_place(('metadata', 'name'))[0]}"
        if (first := self._seen.setdefault((word, name), place)) is not place:
            self._refuse(document, ("metadata", "name"), f"the {word} `{name}` exists already", f"see {first}")
        return model

    def _refuse(self, document: Document, path: Path, message: str, hint: str) -> None:
        self.problems.append(problem_at(document, path, message, hint))


def _problems_of_conditions(document: Document, expressions: Expressions) -> list[Problem]:
    """What is wrong with the conditions of a document that is wrong in other ways too, so that all is told at once."""
    spec = document.value.get("spec")
    variables, rules = (spec.get("variables"), spec.get("rules")) if isinstance(spec, dict) else (None, None)
    if isinstance(variables, dict) and all(isinstance(source, str) for source in variables.values()):
        expressions.define(("spec", "variables"), variables)
    elif variables is not None:
        return []  # the names that conditions may use are not known
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and isinstance(rule.get("when"), str) and rule["when"].strip():
            expressions.condition(("spec", "rules", number, "when"), rule["when"])
    return expressions.problems


def _normalised(model: models.PolicyDocument | models.DefinitionsDocument) -> dict[str, Any]:
    """The document without what changes nothing: defaults, and the order of rules."""
    plain = model.model_dump(mode="json", exclude_defaults=True)
    if isinstance(model, models.PolicyDocument):
        plain["spec"]["rules"].sort(key=lambda rule: str(rule["name"]))
    return plain


def _revision(*documents: models.PolicyDocument | models.DefinitionsDocument) -> str:
    normal = sorted(map(_normalised, documents), key=lambda plain: (str(plain["kind"]), str(plain["metadata"]["name"])))
    text = json.dumps(normal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()


def _settable(rule: Rule) -> frozenset[str]:
    """The request headers that a rule can set; a shadow rule sets none, one that has expired could have."""
    if rule.mode == "shadow" or not isinstance(rule.terms, AllowTerms):
        return frozenset()
    return frozenset(name for name, _ in rule.terms.headers)


class _PolicyCompiler:
    """Compiles the rules of one document."""

    def __init__(
        self,
        document: Document,
        model: models.PolicyDocument,
        expressions: Expressions,
    ) -> None:
        self._document = document
        self._model = model
        self._expressions = expressions
        self._problems: list[Problem] = []

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the document."""
        return [*self._problems, *self._expressions.problems]

    def rules(self) -> list[Rule]:
        """The rules; those with a problem may be missing."""
        spec = self._model.spec
        own_hosts = self._patterns(("spec", "hosts"), spec.hosts, hosts.parse)
        expressions = self._expressions
        expressions.define(("spec", "variables"), spec.variables or {})
        per_rule = {name for name, one in expressions.variables.items() if PARAMS in expressions.reach([one])}
        policy = Policy(
            name=self._model.metadata.name,
            shared={name: p for name, p in expressions.variables.items() if name not in per_rule},
            per_rule={name: p for name, p in expressions.variables.items() if name in per_rule},
            constants=expressions.definitions.values,
        )
        seen: set[str] = set()
        compiled = []
        for number, model in enumerate(spec.rules):
            path: Path = ("spec", "rules", number)
            if model.name in seen:
                self._refuse((*path, "name"), f"the rule `{model.name}` exists already", "give it another name")
            seen.add(model.name)
            compiled.append(self._rule(path, model, policy, self._place(path, model, own_hosts)))
        return compiled

    def _rule(self, path: Path, model: models.Rule, policy: Policy, place: Place) -> Rule:
        when = None if model.when is None else self._expressions.condition((*path, "when"), model.when)
        terms = self._terms((*path, model.effect), model, policy)
        reads = self._expressions.reach([*([] if when is None else [when]), *_programs(terms)])
        name, mode = f"{policy.name}/{model.name}", self._mode((*path, "mode"), model.mode)
        return Rule(
            name=name,
            policy=policy,
            place=place,
            effect=model.effect,
            mode=mode,
            audit_required=model.audit == "required",
            when=when,
            terms=terms,
            expires=model.expires,
            reads_params=PARAMS in reads,
            reads_variables=any(name.startswith((VARIABLES, DEFINITIONS)) for name in reads),
            description=model.description,
            results=_results(name, model.effect, mode),
        )

    def _place(self, path: Path, model: models.Rule, own_hosts: tuple[HostPattern, ...]) -> Place:
        hosts_here = self._patterns((*path, "hosts"), model.hosts, hosts.parse)
        if own_hosts and hosts_here:
            narrowed = hosts.both(hosts_here, own_hosts)
            if not narrowed:
                self._refuse(
                    (*path, "hosts"), "none of these hosts is one of the policy's `hosts`", "remove one of both"
                )
            hosts_here = tuple(sorted(narrowed))
        anywhere = not (own_hosts or hosts_here or model.methods or model.paths)
        if model.tcp and not anywhere:
            self._refuse((*path, "tcp"), "`tcp: true` is only for policies without `hosts`", "move the rule")
        place = Place(
            hosts=tuple(sorted(set(hosts_here or own_hosts))),
            methods=tuple(sorted(set(model.methods or ()))),
            templates=tuple(dict.fromkeys(self._patterns((*path, "paths"), model.paths, templates.parse))),
            workloads=tuple(
                dict.fromkeys(self._patterns((*path, "workloads"), model.workloads, workloads.parse)),
            ),
            tcp=anywhere and (model.tcp or model.effect != "allow"),
        )
        if place.entries > MAX_ENTRIES:
            message = (
                f"its hosts, methods, paths and workloads combine in {place.entries} ways; {MAX_ENTRIES} are the most"
            )
            self._refuse(path, message, "split the rule")
            return Place()
        return place

    def _mode(self, path: Path, mode: Mode | models.StagedMode) -> Mode | Staged:
        if not isinstance(mode, models.StagedMode):
            return mode
        path = (*path, "enforce_for")
        stage = mode.enforce_for
        return Staged(
            share=staging.share(stage.percent),
            subjects=frozenset(one for one in stage.subjects or () if isinstance(one, str)),
            exact_subjects=frozenset(
                Subject(one.issuer, one.sub) for one in stage.subjects or () if not isinstance(one, str)
            ),
            workloads=self._patterns((*path, "workloads"), stage.workloads, workloads.parse),
        )

    def _terms(self, path: Path, model: models.Rule, policy: Policy) -> Terms:
        match model.effect:
            case "allow":
                return NOTHING if model.allow is None else self._allow(path, model.allow)
            case "deny":
                return _deny(f"{policy.name}/{model.name}", model.deny or models.DenyBlock())
            case "challenge":
                assert model.challenge is not None  # noqa: S101 - the model refuses a challenge without its block
                return self._challenge(path, model.challenge)
            case "approve":
                assert model.approve is not None  # noqa: S101 - as above
                return self._approve(path, model.approve)

    def _allow(self, path: Path, block: models.AllowBlock) -> AllowTerms:
        removed = frozenset(block.remove_headers or ())
        for name in sorted(removed & set(block.headers or {})):
            self._refuse((*path, "headers", name), f"the header `{name}` is both set and removed", "choose one")
        for name in sorted(set(block.remove_query or ()) & set(block.query or {})):
            self._refuse((*path, "query", name), f"the parameter `{name}` is both set and removed", "choose one")
        text, value = self._expressions.text, self._expressions.compile
        return AllowTerms(
            headers=self._named((*path, "headers"), block.headers, text),
            remove_headers=removed,
            response_headers=self._named((*path, "response_headers"), block.response_headers, text),
            query=self._named((*path, "query"), block.query, text),
            remove_query=frozenset(block.remove_query or ()),
            metadata=self._named((*path, "metadata"), block.metadata, value),
        )

    def _challenge(self, path: Path, block: models.ChallengeBlock) -> ChallengeTerms:
        kind, scope = self._bind((*path, "bind"), block.bind)
        return ChallengeTerms(
            factors=tuple(dict.fromkeys(block.factors)),
            accepted=frozenset(FACTOR_AMR[factor] for factor in block.factors),
            acr=block.acr,
            max_age=block.max_age,
            bind=kind,
            scope=scope,
            show=self._named((*path, "show"), block.show, self._expressions.compile),
        )

    def _approve(self, path: Path, block: models.ApproveBlock) -> ApproveTerms:
        kind, scope = self._bind((*path, "bind"), block.bind)
        return ApproveTerms(
            min=block.min,
            expires_in=block.expires_in,
            hold=block.hold or 0.0,
            bind=kind,
            scope=scope,
            show=self._named((*path, "show"), block.show, self._expressions.compile),
        )

    def _bind(self, path: Path, bind: models.Bind) -> tuple[Kind, tuple[cel.Program, ...]]:
        if not isinstance(bind, models.Scope):
            return bind, ()
        scope = [self._expressions.compile((*path, "scope", n), source) for n, source in enumerate(bind.scope)]
        return "scope", tuple(program for program in scope if program is not None)

    def _named(
        self,
        path: Path,
        sources: Mapping[str, str] | None,
        compile_one: Callable[[Path, str], cel.Program | None],
    ) -> Programs:
        programs = ((name, compile_one((*path, name), source)) for name, source in sorted((sources or {}).items()))
        return tuple((name, program) for name, program in programs if program is not None)

    def _patterns(self, path: Path, texts: list[str] | None, parse: Callable[[str], Parsed]) -> tuple[Parsed, ...]:
        parsed = []
        for number, text in enumerate(texts or ()):
            try:
                parsed.append(parse(text))
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                self._refuse((*path, number), message, hint)
        return tuple(parsed)

    def _refuse(self, path: Path, message: str, hint: str = "") -> None:
        self._problems.append(problem_at(self._document, path, message, hint))


def _results(name: str, effect: Effect, mode: Mode | Staged) -> Mapping[tuple[Mode, Outcome], RuleResult]:
    modes: tuple[Mode, ...] = ("enforce", "shadow") if isinstance(mode, Staged) else (mode,)
    outcomes: tuple[Outcome, ...] = ("match", "no-match")
    return {
        (one, result): RuleResult(rule=name, effect=effect, mode=one, result=result)
        for one in modes
        for result in outcomes
    }


def _deny(rule: str, block: models.DenyBlock) -> DenyTerms:
    headers = EMPTY if block.headers is None else dict(sorted(block.headers.items()))
    return DenyTerms(answer=Deny(reason=block.reason, rule=rule, status=block.status, headers=headers, body=block.body))


def _programs(terms: Terms) -> list[cel.Program]:
    match terms:
        case AllowTerms():
            named = (*terms.headers, *terms.response_headers, *terms.query, *terms.metadata)
            return [program for _, program in named]
        case ChallengeTerms() | ApproveTerms():
            return [*terms.scope, *(program for _, program in terms.show)]
        case DenyTerms():
            return []
