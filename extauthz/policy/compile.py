"""Documents to a PolicySet: everything that can be known before a request comes is worked out here.

Pure: text comes in, `load` reads the files. The rule kept here: all problems of all documents are told at once, and a
set with one problem is no set.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from extauthz import cel
from extauthz.policy import approving, hosts, models, staging, templates, workloads
from extauthz.policy.context import PARAMS, VARIABLES
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.defining import define
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.expressions import Expressions
from extauthz.policy.hosts import HostPattern
from extauthz.policy.index import Index, Place
from extauthz.policy.modelling import meant_by, risk_models
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import Path, PolicyErrors, Problem, did_you_mean, problem_at
from extauthz.policy.reading import Reading
from extauthz.policy.reads import RISK
from extauthz.policy.revision import revision_of
from extauthz.policy.risk_models import RiskModel
from extauthz.policy.rules import AllowTerms, Policy, Rule
from extauthz.policy.staging import Staged
from extauthz.policy.terms import TermsCompiler, programs_of
from extauthz.policy.together import problems_of_rule
from extauthz.policy.yaml_source import Document
from extauthz.values.decisions import Effect, Mode, Outcome, RuleResult
from extauthz.values.identity import Subject

MAX_ENTRIES: Final = 10_000
"""Of the index, for one rule: each host with each method with each path with each workload is one."""

Parsed = TypeVar("Parsed")


def compile_documents(
    documents: Iterable[Document], *, declared: Declared = NOTHING_DECLARED, complete: bool = True
) -> PolicySet:
    """The policies among the documents, compiled; those of `kind: PolicyTest` are left to `policy test`.

    `declared` is what the configuration says that they may read.
    `complete` is whether the documents are all that there are: no others could not be read.

    Raises:
        PolicyErrors: every problem of every document.
    """
    reading = Reading(documents)
    problems = reading.problems
    definitions = define(
        reading.definitions, problems, complete=complete and reading.complete, files=declared.addresses
    )
    found = risk_models(reading.risk_models, declared=declared, definitions=definitions, problems=problems)
    all_found = complete and reading.has_all_models
    compiled: list[Rule] = []
    shared: dict[str, cel.Program] = {}
    for mended in reading.policies:
        owner = mended.model.metadata.name
        expressions = Expressions(mended.document, declared, shared, definitions, owner=owner)
        about = Expressions(mended.document, declared, {}, definitions, names=approving.NAMES)
        one = _PolicyCompiler(mended.document, mended.model, expressions, about, _Models(found, all_found), declared)
        compiled += one.rules()
        problems += one.problems
    if problems:
        raise PolicyErrors(problems)
    compiled.sort(key=lambda rule: rule.name)
    return PolicySet(
        revision=revision_of(
            *(one.model for one in reading.definitions),
            *(one.model for one in reading.risk_models),
            *(one.model for one in reading.policies),
        ),
        settable_headers=frozenset().union(*(_settable(rule) for rule in compiled)),
        rules=tuple(compiled),
        index=Index(rule.place for rule in compiled),
        risk_models=tuple(found[name] for name in sorted(found)),
    )


class _Models(NamedTuple):
    """The risk models of all documents, and whether there are no others, in documents that can't be read."""

    found: Mapping[str, RiskModel]
    complete: bool


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
        about: Expressions,
        risk_models: _Models,
        declared: Declared,
    ) -> None:
        self._document = document
        self._model = model
        self._expressions = expressions
        self._about = about
        self._terms = TermsCompiler(document, expressions, about, declared)
        self._risk_models = risk_models
        self._risk = meant_by(model.spec, risk_models.found)
        self._problems: list[Problem] = []

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the document."""
        return [*self._problems, *self._terms.problems, *self._expressions.problems, *self._about.problems]

    def rules(self) -> list[Rule]:
        """The rules; those with a problem may be missing."""
        spec = self._model.spec
        own_hosts = self._patterns(("spec", "hosts"), spec.hosts, hosts.parse)
        expressions = self._expressions
        expressions.define(("spec", "variables"), spec.variables or {})
        self._judge_risk()
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
            self._problems += problems_of_rule(self._document, path, model)
            if model.name in seen and not self._document.is_lost((*path, "name")):
                self._refuse((*path, "name"), f"the rule `{model.name}` exists already", "give it another name")
            seen.add(model.name)
            rule = self._rule(path, model, policy, self._place(path, model, own_hosts))
            if rule is not None:
                compiled.append(rule)
        return compiled

    def _rule(self, path: Path, model: models.Rule, policy: Policy, place: Place) -> Rule | None:
        when = None if model.when is None else self._expressions.condition((*path, "when"), model.when)
        name = f"{policy.name}/{model.name}"
        terms = self._terms.terms(path, model, name)
        mode = self._mode((*path, "mode"), model.mode)
        if terms is None:
            return None
        programs = [*([] if when is None else [when]), *programs_of(terms)]
        reached = self._expressions.reach(programs)
        reads = self._expressions.reader.of(programs)
        risk = self._risk if reads.risk else None
        if reads.risk and risk is None:
            self._miss_risk(path, model)
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
            reads_params=PARAMS in reached,
            reads_variables=reads.risk or any(name.startswith((VARIABLES, DEFINITIONS)) for name in reached),
            reads=reads if risk is None else reads.beside(risk.reads),
            risk=risk,
            description=model.description,
            results=_results(name, model.effect, mode),
        )

    def _judge_risk(self) -> None:
        """The model that the policy names is there."""
        named, known = self._model.spec.risk, self._risk_models
        path: Path = ("spec", "risk")
        if named is None or named in known.found or not known.complete or self._document.is_lost(path):
            return
        hint = did_you_mean(named, known.found) or "name a loaded document of `kind: RiskModel`"
        self._refuse(path, f"there is no risk model `{named}`", hint)

    def _miss_risk(self, path: Path, rule: models.Rule) -> None:
        """A rule reads the risk, and the policy means no model."""
        known = self._risk_models
        if self._model.spec.risk is not None or not known.complete:
            return  # told where it is named, or where the document can't be read
        if known.found:
            message, hint = (
                "`risk` is read, and no risk model is named",
                f"write `risk: {min(known.found)}` under `spec`",
            )
        else:
            message = "`risk` is read, and no loaded document is a risk model"
            hint = "name the file or folder with its `kind: RiskModel` document too"
        if rule.when is None or not self._expressions.refuse_name((*path, "when"), rule.when, RISK, message, hint):
            self._refuse(path, message, hint)

    def _place(self, path: Path, model: models.Rule, policy_hosts: "_Patterns[HostPattern]") -> Place:
        rule_hosts = self._patterns((*path, "hosts"), model.hosts, hosts.parse)
        own_hosts, hosts_here = policy_hosts.parsed, rule_hosts.parsed
        if own_hosts and hosts_here:
            narrowed = hosts.both(hosts_here, own_hosts)
            if not narrowed and policy_hosts.whole and rule_hosts.whole:
                self._refuse(
                    (*path, "hosts"), "none of these hosts is one of the policy's `hosts`", "remove one of both"
                )
            hosts_here = tuple(sorted(narrowed))
        anywhere = not (model.hosts or model.methods or model.paths)
        if model.tcp and anywhere and self._document.has(("spec", "hosts")):
            self._refuse((*path, "tcp"), "`tcp: true` is only for policies without `hosts`", "move the rule")
        place = Place(
            hosts=tuple(sorted(set(hosts_here or own_hosts))),
            methods=tuple(sorted(set(model.methods or ()))),
            templates=tuple(dict.fromkeys(self._patterns((*path, "paths"), model.paths, templates.parse).parsed)),
            workloads=tuple(
                dict.fromkeys(self._patterns((*path, "workloads"), model.workloads, workloads.parse).parsed),
            ),
            tcp=anywhere and not own_hosts and (model.tcp or model.effect != "allow"),
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
            workloads=self._patterns((*path, "workloads"), stage.workloads, workloads.parse).parsed,
        )

    def _patterns(self, path: Path, texts: list[str] | None, parse: Callable[[str], Parsed]) -> "_Patterns[Parsed]":
        parsed = []
        for number, text in enumerate(texts or ()):
            try:
                parsed.append(parse(text))
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                self._refuse((*path, number), message, hint)
        whole = len(parsed) == len(texts or ()) and not self._document.lost(path)
        return _Patterns(tuple(parsed), whole)

    def _refuse(self, path: Path, message: str, hint: str = "") -> None:
        self._problems.append(problem_at(self._document, path, message, hint))


class _Patterns(NamedTuple, Generic[Parsed]):
    """The patterns of a list, and whether all of them could be read."""

    parsed: tuple[Parsed, ...]
    whole: bool


def _results(name: str, effect: Effect, mode: Mode | Staged) -> Mapping[tuple[Mode, Outcome], RuleResult]:
    modes: tuple[Mode, ...] = ("enforce", "shadow") if isinstance(mode, Staged) else (mode,)
    outcomes: tuple[Outcome, ...] = ("match", "no-match")
    return {
        (one, result): RuleResult(rule=name, effect=effect, mode=one, result=result)
        for one in modes
        for result in outcomes
    }
