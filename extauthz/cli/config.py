"""`extauthz config …`: the configuration file."""

import typer

from extauthz.cli.policy_options import print_json
from extauthz.settings.schema import json_schema

app = typer.Typer(name="config", help="The configuration file.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The configuration file."""


@app.command(short_help="Print the JSON Schema of extauthz.yaml.")
def schema() -> None:
    """Print the JSON Schema of extauthz.yaml: editors complete its keys by it, and tell what each does."""
    print_json(json_schema())
