"""`extauthz policy …`: policies without a server. The commands are registered here; each has a module of its own."""

import typer

from extauthz.cli.discover import discover
from extauthz.cli.policy_check import check
from extauthz.cli.policy_explain import explain
from extauthz.cli.policy_schema import schema
from extauthz.cli.policy_test import run_tests
from extauthz.cli.replay import replay

app = typer.Typer(help="Check, test and explain policies.", no_args_is_help=True)
app.command("check", short_help="Find errors, and what will be regretted.")(check)
app.command("explain")(explain)
app.command("test", short_help="Run the tests of policies.")(run_tests)
app.command("schema", short_help="Print the JSON Schema of policies.")(schema)
app.command("replay", short_help="Tell what other policies would have changed.")(replay)
app.command("discover", short_help="Draft policies from recorded traffic.")(discover)
