"""`extauthz policy …`: check, test and explain policies without a server; the work is done by `extauthz.policy`."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.refusals import refusal
from extauthz.errors import ExtauthzError, Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.policy import cases
from extauthz.policy.compile import compile_documents
from extauthz.policy.decide import decide
from extauthz.policy.load import load, read_documents
from extauthz.policy.models import PolicyDocument
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.values.decisions import Allow, Challenge, Deny, Evaluation, Hold
from extauthz.values.grants import NO_FACTS
from extauthz.values.request import Caller, RequestView
from extauthz.wire.caller import classify
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode
from extauthz.wire.jsonform import check_request_from_json, check_response_to_json

app = typer.Typer(help="Check, test and explain policies.", no_args_is_help=True)

Format = Literal["text", "json"]
FormatOption = Annotated[Format, typer.Option("--format", help="For people, or for programs.")]
PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.", show_default=False)]

_KEY = b"what is explained leaves nothing behind, so it binds to nothing"
_DECISIONS = {Allow: "allow", Deny: "deny", Challenge: "challenge", Hold: "hold"}
_COLOURS = {"allow": "green", "deny": "red", "challenge": "yellow", "hold": "magenta"}


@app.command()
def check(paths: PathsArgument, output: FormatOption = "text") -> None:
    """Parse and type-check policies; exit with 1 if there is any error."""
    try:
        policies = load(paths)
    except PolicyErrors as error:
        if output == "json":
            _print_json({"ok": False, "problems": [_problem(problem) for problem in error.problems]})
        else:
            typer.echo(error.render(), err=True)
            count = len(error.problems)
            typer.echo(f"{count} error{'s' if count > 1 else ''}", err=True)
        raise typer.Exit(1) from None
    now = time.time()
    expired = [rule.name for rule in policies.rules if rule.expires is not None and rule.expires <= now]
    if output == "json":
        count = len(policies.rules)
        _print_json({"ok": True, "problems": [], "expired": expired, "rules": count, "revision": policies.revision})
    else:
        for name in expired:
            typer.echo(f"warning: the rule `{name}` has expired; remove it", err=True)
        typer.echo(f"{len(policies.rules)} rules, no errors, revision {policies.revision}")


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    }


@app.command()
def explain(
    policy: Annotated[list[Path], typer.Option(help="A policy file or folder; may be given several times.")],
    request: Annotated[Path, typer.Option(help="A CheckRequest as protobuf JSON.", dir_okay=False)],
    config: Annotated[
        Path | None, typer.Option(help="The configuration whose identity sources apply.", dir_okay=False)
    ] = None,
    output: FormatOption = "text",
) -> None:
    """Decide one request and show how every candidate rule came out.

    Nothing is looked up: no grant is known. The time is the request's own, or now if it has none.
    """
    resolver, declared_headers, accept = _identity_sources(config)
    policies = load(policy, declared_headers=declared_headers)
    payload = check_request_from_json(_read(request))
    view: RequestView | None = None
    try:
        view = decode(payload, accept=accept)
        now = view.time[0] + view.time[1] / 1e9 if view.time != (0, 0) else time.time()
        identity = resolver.identify(view, now=now)
        evaluation = decide(
            policies.candidates(view, identity),
            request=view,
            identity=identity,
            facts=NO_FACTS,
            now=now,
            binding_keys=[_KEY],
        )
    except Refused as error:
        evaluation = Evaluation(decision=refusal(error))
    explanation = _explanation(evaluation, view, policies)
    if output == "json":
        _print_json(explanation)
    else:
        _print_explanation(explanation, {rule.name: rule.description for rule in policies.rules})


def _identity_sources(config: Path | None) -> tuple[Resolver, frozenset[str] | None, frozenset[str]]:
    """Who is who, which headers Envoy sends, and what is accepted in a path."""
    if config is None:
        return Resolver(IdentitySettings(), ClientSettings(), {}), None, frozenset()
    # Imported here: the other commands of this group need neither settings nor what they wire.
    from extauthz.app.wiring import make_resolver
    from extauthz.settings import load_settings

    settings = load_settings(config)
    return make_resolver(settings), settings.declared_headers, frozenset(settings.paths.accept)


def _explanation(evaluation: Evaluation, view: RequestView | None, policies: PolicySet) -> dict[str, Any]:
    """The object of design section 7."""
    decision = evaluation.decision
    payload = encode(
        decision,
        request=view,
        caller=classify(view) if view is not None else Caller.API,
        decision_id="explain",
        revision=policies.revision,
        settable=policies.settable_headers,
    )
    return {
        "decision": _DECISIONS[type(decision)],
        "reason": decision.reason,
        "rule": decision.rule,
        "status": _status(payload),
        "revision": policies.revision,
        "rules": [
            {"rule": one.rule, "effect": one.effect, "mode": one.mode, "result": one.result, "error": one.error}
            for one in evaluation.rules
        ],
        "response": check_response_to_json(payload),
    }


def _status(payload: bytes) -> int:
    """The HTTP status that the caller gets from Envoy; of an allow 200, though the upstream has its own say."""
    response = CheckResponse.FromString(payload)
    return int(response.denied_response.status.code) if response.HasField("denied_response") else 200


def _print_explanation(explanation: dict[str, Any], descriptions: Mapping[str, str]) -> None:
    console = Console()
    word = explanation["decision"]
    rule = f" by {explanation['rule']}" if explanation["rule"] else ""
    console.print(
        f"[bold {_COLOURS[word]}]{word}[/] {escape(explanation['reason'] + rule)}, status {explanation['status']}"
    )
    table = Table(Column("rule", overflow="fold"), "effect", "mode", "result", Column("error", overflow="fold"))
    for one in explanation["rules"]:
        description = descriptions[one["rule"]]
        table.add_row(
            escape(one["rule"]) + (f"\n[dim]{escape(description)}[/]" if description else ""),
            *(escape(one[name] or "") for name in ("effect", "mode", "result", "error")),
        )
    if explanation["rules"]:
        console.print(table)
    else:
        console.print("no rule covers this request")
    console.print(f"revision {explanation['revision']}", style="dim")


@app.command("test")
def run_tests(paths: PathsArgument, output: FormatOption = "text") -> None:
    """Run the `kind: PolicyTest` documents among the files against the policies among them."""
    problems: list[Problem] = []
    documents = read_documents(paths, problems)
    if problems:
        raise PolicyErrors(problems)
    policies = compile_documents(documents)
    if not policies.rules:
        raise ExtauthzError("no policies found; name them beside their tests")
    suites = cases.read_cases(documents)
    if not suites:
        raise ExtauthzError("no tests found; write documents of `kind: PolicyTest`")
    outcomes = [outcome for suite in suites for outcome in cases.run(suite, policies)]
    failed = sum(1 for outcome in outcomes if outcome.differences)
    if output == "json":
        _print_json(
            {
                "passed": len(outcomes) - failed,
                "failed": failed,
                "cases": [
                    {
                        "suite": outcome.suite,
                        "case": outcome.case,
                        "decision": outcome.decision,
                        "rule": outcome.rule,
                        "reason": outcome.reason,
                        "status": outcome.status,
                        "differences": list(outcome.differences),
                    }
                    for outcome in outcomes
                ],
            }
        )
    else:
        _print_outcomes(outcomes)
        typer.echo(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _print_outcomes(outcomes: list[cases.Outcome]) -> None:
    table = Table("", "test", "decision", Column("rule", overflow="fold"), "reason")
    for outcome in outcomes:
        mark = "[red]failed[/]" if outcome.differences else "[green]ok[/]"
        colour = _COLOURS[outcome.decision]
        decision = f"[{colour}]{outcome.decision}[/]"
        name = escape(f"{outcome.suite}: {outcome.case}")
        table.add_row(mark, name, decision, escape(outcome.rule or ""), escape(outcome.reason))
    Console().print(table)
    for outcome in outcomes:
        for difference in outcome.differences:
            typer.echo(f"{outcome.suite}: {outcome.case}: {difference}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy and test documents."""
    documents = (PolicyDocument, cases.CasesDocument)
    schemas = [model.model_json_schema(ref_template="#/$defs/{model}") for model in documents]
    definitions = {name: part for one in schemas for name, part in one.pop("$defs", {}).items()}
    _print_json(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "extauthz policies",
            "oneOf": schemas,
            "$defs": definitions,
        }
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ExtauthzError(f"{file}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ExtauthzError(f"{file}: not UTF-8; save it as UTF-8") from None


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
