"""All commands of `extauthz`, gathered. Importing this imports most of the program."""

from typing import Annotated

import typer

from extauthz import __version__
from extauthz.cli import audit, bundle, factors, grants, keys, policy, subjects
from extauthz.cli.quickstart.command import quickstart
from extauthz.cli.serve import serve

app = typer.Typer(
    name="extauthz",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the boxes say `<bool>` after every flag, as if it took a value
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command(short_help="Answer Envoy's checks.")(serve)
app.command(short_help="Try it: Envoy, a service and extauthz here.")(quickstart)
app.add_typer(policy.app, name="policy")
app.add_typer(factors.app, name="factors")
app.add_typer(subjects.app, name="subjects")
app.add_typer(grants.app, name="grants")
app.add_typer(keys.app, name="keys")
app.add_typer(bundle.app, name="bundle")
app.add_typer(audit.app, name="audit")


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
