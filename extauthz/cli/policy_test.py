"""`extauthz policy test`: run the cases of `kind: PolicyTest` documents."""

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from extauthz.cli.policy_options import COLOURS, FormatOption, PathsArgument, print_json
from extauthz.errors import ExtauthzError
from extauthz.policy import cases
from extauthz.policy.compile import compile_documents
from extauthz.policy.load import read_documents
from extauthz.policy.problems import PolicyErrors, Problem


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
        print_json(
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
        colour = COLOURS[outcome.decision]
        decision = f"[{colour}]{outcome.decision}[/]"
        name = escape(f"{outcome.suite}: {outcome.case}")
        table.add_row(mark, name, decision, escape(outcome.rule or ""), escape(outcome.reason))
    Console().print(table)
    for outcome in outcomes:
        for difference in outcome.differences:
            typer.echo(f"{outcome.suite}: {outcome.case}: {difference}")
