"""The command `extauthz`: thin commands over the parts; errors are one line on standard error and exit code 1.

The rule kept here: nothing slow is imported before Ctrl-C is taken care of.
"""

import sys

from extauthz.cli.interrupts import Importing


def main() -> None:
    """Run the command line and exit; with 130 on Ctrl-C."""
    with Importing():
        import typer

        from extauthz.cli.commands import app
        from extauthz.errors import ExtauthzError
    try:
        app()
    except ExtauthzError as error:
        typer.echo(f"extauthz: {error}", err=True)
        sys.exit(1)
