"""`extauthz policy …`: policies without a server. The commands are registered here; each has a module of its own."""

import time
from typing import Any

import typer

from extauthz.cli.policy_explain import explain
from extauthz.cli.policy_options import FormatOption, PathsArgument, print_json
from extauthz.cli.policy_schema import schema
from extauthz.cli.policy_test import run_tests
from extauthz.cli.replay import replay
from extauthz.policy.load import load
from extauthz.policy.problems import PolicyErrors, Problem

app = typer.Typer(help="Check, test and explain policies.", no_args_is_help=True)
app.command("explain")(explain)
app.command("test")(run_tests)
app.command("schema")(schema)
app.command("replay")(replay)


@app.command()
def check(paths: PathsArgument, output: FormatOption = "text") -> None:
    """Parse and type-check policies; exit with 1 if there is any error."""
    try:
        policies = load(paths)
    except PolicyErrors as error:
        if output == "json":
            print_json({"ok": False, "problems": [_problem(problem) for problem in error.problems]})
        else:
            typer.echo(error.render(), err=True)
            count = len(error.problems)
            typer.echo(f"{count} error{'s' if count > 1 else ''}", err=True)
        raise typer.Exit(1) from None
    now = time.time()
    expired = [rule.name for rule in policies.rules if rule.expires is not None and rule.expires <= now]
    if output == "json":
        count = len(policies.rules)
        print_json({"ok": True, "problems": [], "expired": expired, "rules": count, "revision": policies.revision})
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
