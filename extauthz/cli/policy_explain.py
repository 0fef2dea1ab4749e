"""`extauthz policy explain`: how one request is decided, what every condition saw, and why other rules had no say.

The request is a CheckRequest, or the record of one in an audit file. What a record has masked is told as masked; a
decision that depends on it is `undecidable`, never guessed.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from extauthz.approval.persons import Persons
from extauthz.check.refusals import refusal
from extauthz.cli import policy_trace
from extauthz.cli.policy_options import COLOURS, FormatOption, make_console, policies_of, print_json, read_text
from extauthz.cli.printable import printable
from extauthz.errors import ExtauthzError, Refused
from extauthz.history.deciding import Redecider, Undecidable
from extauthz.history.reading import find
from extauthz.history.recorded import Recorded, is_decidable
from extauthz.history.recorded_facts import signal_name
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.lookups import Awaiting
from extauthz.identity.resolver import Resolver
from extauthz.policy.case_facts import given_facts
from extauthz.policy.context import Inputs, RequestScope
from extauthz.policy.decide import decide
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.explain import others_as_json, risk_as_json, risk_traces, rules_as_json, traces
from extauthz.policy.fact_models import FactsModel, read_facts
from extauthz.policy.load import load_with_documents
from extauthz.policy.mismatch import Other, others
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.sources import Sources
from extauthz.policy.trace import ModelTrace, RuleTrace
from extauthz.policy.trial import WORDS, http_status, response_to
from extauthz.record.audit_line import DecisionLine
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Decision, Deny, Evaluation
from extauthz.values.facts import NO_LOCAL, Local
from extauthz.values.grants import NO_FACTS
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView, empty
from extauthz.values.schemes import NO_SCHEMES, Schemes
from extauthz.wire.decode import decode
from extauthz.wire.jsonform import check_request_from_json, check_response_to_json
from extauthz.wire.reading import STRICT, Reading

_KEY: Final = b"what is explained leaves nothing behind, so it binds to nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with its reasons.

    `decision` is `None` where a record holds too little, for want of `missing`, or where no policy gave the recorded
    answer. `detail` is what was wrong with a request that is refused before any policy is asked, in full. `payload` are
    the bytes of the Check and `schemes` how its caller could have proven who it is, for the answer.
    """

    policies: PolicySet
    sources: Sources
    decision: Decision | None
    evaluation: Evaluation
    traces: Mapping[str, RuleTrace]
    others: tuple[Other, ...]
    risk_traces: Mapping[str, ModelTrace] = field(default_factory=empty)
    payload: bytes = b""
    schemes: Schemes = NO_SCHEMES
    request: RequestView | None = None
    recorded: DecisionLine | None = None
    missing: tuple[str, ...] = ()
    detail: str | None = None


def explain(
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A policy file or folder; may be given several times. Those of the configuration without any.",
        ),
    ] = None,
    request: Annotated[Path | None, typer.Option(help="A CheckRequest as protobuf JSON.", dir_okay=False)] = None,
    audit: Annotated[
        Path | None, typer.Option(help="An audit file; without it that of the configuration.", dir_okay=False)
    ] = None,
    decision_id: Annotated[
        str | None, typer.Option("--id", help="Which decision of the audit file, instead of a request.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The configuration whose identity sources apply.", dir_okay=False)
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(help="What look-ups would have returned, as `facts` of a test has it.", dir_okay=False),
    ] = None,
    output: FormatOption = "text",
) -> None:
    """Decide one request and show how every rule came out.

    The store is not looked at: of a request no grant is known, its session counts as never seen, and it is the first of
    its subject, unless `--facts` says more; of a recorded one what the record says. Issuers are asked as the server
    would ask them. The time is the request's own, or now if it has none.
    """
    if (request is None) == (decision_id is None) or (audit is not None and decision_id is None):
        raise typer.BadParameter("name either `--request`, or `--id` of an `--audit`", param_hint="--request")
    if facts is not None and request is None:
        raise typer.BadParameter("is for a `--request`; a record has its own", param_hint="--facts")
    paths = policy or policies_of(config)
    if request is not None:
        given = FactsModel() if facts is None else read_facts(read_text(facts), str(facts))
        explanation = _of_request(paths, _read_request(request), config, given)
    elif decision_id is not None:
        explanation = _of_record(paths, find(audit or _audit_of(config), decision_id), config)
    if output == "json":
        print_json(_as_json(explanation))
    else:
        _print(explanation)


def _audit_of(config: Path | None) -> Path:
    """The file that a configuration has decisions recorded in."""
    if config is None:
        raise typer.BadParameter("name it, or by `--config` the configuration that does", param_hint="--audit")
    # Imported here: it is for whoever has no file at hand.
    from extauthz.cli.audit_wanted import audit_of

    return audit_of(config)


def _read_request(file: Path) -> bytes:
    try:
        return check_request_from_json(read_text(file))
    except ExtauthzError as error:
        raise ExtauthzError(f"{file}: {str(error).removeprefix(f'{file}: ')}") from None


def _of_request(paths: list[Path], payload: bytes, config: Path | None, given: FactsModel) -> Explanation:
    configured = _configured(config)
    policies, sources = _load(paths, configured.declared)
    view: RequestView | None = None
    try:
        view = decode(payload, configured.reading)
        now = view.time[0] + view.time[1] / 1e9 if view.time != (0, 0) else time.time()
        identity = _identify(configured, view, now)
    except Refused as error:
        refused = Evaluation(decision=refusal(error))
        return Explanation(
            policies=policies,
            sources=sources,
            decision=refused.decision,
            evaluation=refused,
            traces={},
            others=(),
            payload=payload,
            schemes=configured.identity.schemes,
            request=view,
            detail=str(error),
        )
    candidates = policies.candidates(view, identity)
    facts = given_facts(given, candidates, request=view, identity=identity, now=now, around=configured.local)
    evaluation = decide(candidates, request=view, identity=identity, facts=facts, now=now, binding_keys=[_KEY])
    scope = RequestScope(Inputs(request=view, identity=identity, facts=facts, now=now))
    return Explanation(
        policies=policies,
        sources=sources,
        decision=evaluation.decision,
        evaluation=evaluation,
        traces=traces(candidates, view, evaluation, scope),
        risk_traces=risk_traces(policies, evaluation, scope),
        others=_others(policies, evaluation, view, identity, now),
        payload=payload,
        schemes=configured.identity.schemes,
        request=view,
    )


def _of_record(paths: list[Path], line: DecisionLine, config: Path | None) -> Explanation:
    policies, sources = _load(paths, _configured(config).declared)
    if not is_decidable(line):
        refused = Evaluation(decision=Deny(reason=line.reason, status=line.status))
        return Explanation(
            policies=policies,
            sources=sources,
            decision=None,
            evaluation=refused,
            traces={},
            others=(),
            recorded=line,
        )
    recorded = Recorded(line)
    # By the very policies that decided then, every rule came out as the record says.
    rules = (rule.name for rule in policies.rules)
    signals = (signal_name(model.name, signal.name) for model in policies.risk_models for signal in model.signals)
    as_then = frozenset((*rules, *signals)) if line.revision == policies.revision else frozenset()
    outcome = Redecider(policies, unchanged={policies.revision: as_then}).decide(recorded)
    candidates = policies.candidates(recorded.request, recorded.identity)
    # What the conditions saw themselves: the outcome above may rest on what the record says of its own rules.
    evaluation = decide(
        candidates,
        request=recorded.request,
        identity=recorded.identity,
        facts=NO_FACTS,
        now=recorded.now,
        binding_keys=[_KEY],
        scope=recorded.scope(NO_FACTS, candidates, as_then),
    )
    scope = recorded.scope(NO_FACTS, candidates, as_then)
    return Explanation(
        policies=policies,
        sources=sources,
        decision=None if isinstance(outcome, Undecidable) else outcome.decision,
        evaluation=evaluation if isinstance(outcome, Undecidable) else _with_own_errors(outcome, evaluation),
        traces=traces(candidates, recorded.request, evaluation, scope),
        risk_traces=risk_traces(policies, evaluation, scope),
        others=_others(policies, evaluation, recorded.request, recorded.identity, recorded.now),
        request=recorded.request,
        recorded=line,
        missing=outcome.missing if isinstance(outcome, Undecidable) else (),
    )


def _with_own_errors(outcome: Evaluation, seen: Evaluation) -> Evaluation:
    """The outcome, with the errors that the conditions had here: of one that was as it was, the record has none."""
    errors = {one.rule: one.error for one in seen.rules}
    return replace(
        outcome,
        rules=tuple(
            replace(one, error=errors.get(one.rule) or one.error) if one.result == "error" else one
            for one in outcome.rules
        ),
    )


def _others(
    policies: PolicySet, evaluation: Evaluation, request: RequestView, identity: Identity, now: float
) -> tuple[Other, ...]:
    spoke = [one.rule for one in evaluation.rules]
    return others(policies, spoke, request=request, identity=identity, now=now)


def _load(paths: list[Path], declared: Declared) -> tuple[PolicySet, Sources]:
    documents, policies = load_with_documents(paths, declared=declared)
    return policies, Sources(documents)


class _Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration says of requests: who is who, what policies may read, how requests are read, and what is
    known of addresses."""

    identity: IdentitySettings
    base: Path
    resolver: Resolver
    declared: Declared
    reading: Reading
    local: Local = NO_LOCAL


def _configured(config: Path | None) -> _Configured:
    if config is None:
        return _Configured(
            identity=(nobody := IdentitySettings()),
            base=Path(),
            resolver=Resolver(nobody, ClientSettings(), {}),
            declared=NOTHING_DECLARED,
            reading=STRICT,
        )
    # Imported here: the other commands of this group need neither settings nor what they wire.
    from extauthz.app.local_facts import LocalFacts
    from extauthz.app.wiring import make_reading, make_resolver
    from extauthz.settings import load_settings

    settings = load_settings(config)
    return _Configured(
        identity=settings.identity,
        base=settings.base,
        resolver=make_resolver(settings),
        declared=settings.declared,
        reading=make_reading(settings),
        local=replace(LocalFacts(settings).local, requesters=Persons(settings.approvals.persons).requesters),
    )


def _identify(configured: _Configured, request: RequestView, now: float) -> Identity:
    """Who makes the request; whoever the server would ask is really asked."""
    known = configured.resolver.identify(request, now=now)
    if not isinstance(known, Awaiting):
        return known
    # Imported here: most requests need nobody else.
    from extauthz.app.informants import identified
    from extauthz.app.logs import no_logs

    asking = identified(
        configured.resolver, request, known, settings=configured.identity, base=configured.base, now=now
    )
    with no_logs():
        return asyncio.run(asking)


def _as_json(one: Explanation) -> dict[str, Any]:
    """The object of design section 7, and beside it `others`; of a record also `recorded` and `missing`."""
    response = _response(one)
    decision = one.decision
    plain: dict[str, Any] = {
        "decision": None if decision is None else WORDS[type(decision)],
        "reason": "undecidable" if decision is None else decision.reason,
        "rule": None if decision is None else decision.rule,
        "status": None if response is None else http_status(response),
        "revision": one.policies.revision,
        "rules": rules_as_json(one.evaluation.rules, one.traces, one.sources),
        "risk": risk_as_json(_assessed(one), one.risk_traces),
        "detail": one.detail,
        "response": None if response is None else check_response_to_json(response),
        "others": others_as_json(one.others, one.sources),
    }
    line = one.recorded
    if line is not None:
        plain["recorded"] = {
            "decision": line.decision,
            "reason": line.reason,
            "rule": line.rule,
            "status": line.status,
            "revision": line.revision,
            "time": line.time,
            "detail": line.detail,
        }
        plain["missing"] = list(one.missing)
    return plain


def _assessed(one: Explanation) -> tuple[Assessment, ...]:
    """What the risk models came to that could be traced: of a record those that conditions could read here."""
    return tuple(found for found in one.evaluation.risk if found.model in one.risk_traces)


def _response(one: Explanation) -> bytes | None:
    """The CheckResponse; none of a recorded request, of which too little is left to say it."""
    if one.decision is None or one.recorded is not None:
        return None
    return response_to(
        one.decision,
        one.request,
        one.policies,
        decision_id="explain",
        schemes=one.schemes,
        unread=one.payload,
    )


def _print(one: Explanation) -> None:
    console = make_console()
    _print_decision(console, one)
    if one.evaluation.rules:
        descriptions = {rule.name: rule.description for rule in one.policies.rules}
        console.print(policy_trace.rules(one.evaluation.rules, one.traces, descriptions))
    elif one.others:
        console.print("no rule covers this request")
    if one.evaluation.risk:
        console.print(policy_trace.risk(_assessed(one), one.risk_traces))
    if one.others:
        console.print(policy_trace.others(one.others))
    console.print(f"revision {one.policies.revision}", style="dim")


def _print_decision(console: Console, one: Explanation) -> None:
    response, decision = _response(one), one.decision
    if decision is None:
        cause = f"the record does not hold {', '.join(one.missing)}" if one.missing else "no policy gave this answer"
        console.print(Text.assemble(("undecidable", "bold"), f": {cause}"))
    else:
        word = WORDS[type(decision)]
        by = f" by {decision.rule}" if decision.rule else ""
        status = "" if response is None else f", status {http_status(response)}"
        console.print(Text.assemble((word, f"bold {COLOURS[word]}"), f" {decision.reason}{by}{status}"))
        _print_detail(console, one.detail)
    if one.recorded is not None:
        line = one.recorded
        by = f" by {line.rule}" if line.rule else ""
        console.print(f"recorded: {line.decision} {line.reason}{by}, status {line.status}, {line.time}", markup=False)
        _print_detail(console, line.detail)


def _print_detail(console: Console, detail: str | None) -> None:
    if detail is not None:
        console.print(Text(printable(detail), "red"))
