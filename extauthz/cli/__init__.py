"""The command `extauthz`: thin commands over the parts; errors are one line on standard error and exit code 1."""

import sys
from typing import Annotated

import typer

from extauthz import __version__
from extauthz.cli import bundle, factors, keys, policy
from extauthz.cli.quickstart.command import quickstart
from extauthz.cli.serve import serve
from extauthz.errors import ExtauthzError

app = typer.Typer(
    name="extauthz",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(quickstart)
app.add_typer(policy.app, name="policy")
app.add_typer(factors.app, name="factors")
app.add_typer(keys.app, name="keys")
app.add_typer(bundle.app, name="bundle")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"extauthz {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The decision point that Envoy asks before it lets a request through."""


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except ExtauthzError as error:
        typer.echo(f"extauthz: {error}", err=True)
        sys.exit(1)
