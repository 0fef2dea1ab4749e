"""`extauthz policy …`: policies without a server. Each command has a module of its own."""

import typer

from extauthz.cli.on_demand import command, on_demand

app = typer.Typer(
    no_args_is_help=True,
    cls=on_demand(
        {
            "check": command("policy_check", "check", short_help="Find errors, and what will be regretted."),
            "explain": command("policy_explain", "explain"),
            "test": command("policy_test", "run_tests", short_help="Run the tests of policies."),
            "schema": command("policy_schema", "schema", short_help="Print the JSON Schema of policies."),
            "replay": command("replay", "replay", short_help="Tell what other policies would have changed."),
            "discover": command("discover", "discover", short_help="Draft policies from recorded traffic."),
        }
    ),
)


@app.callback()
def _group() -> None:
    """Check, test and explain policies."""
