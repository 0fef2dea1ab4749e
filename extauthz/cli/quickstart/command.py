"""`extauthz quickstart`: the command.

What it runs needs the extra `demo` (Envoy, an HTTP client), so nothing of it is imported before the command is called:
the other commands do without.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from extauthz.cli.interrupts import Importing
from extauthz.errors import ConfigurationError

HTTP_CLIENT = ("httpx", "h2")


def quickstart(
    check: Annotated[
        bool, typer.Option("--check", help="Walk, compare with what is expected, and exit with 1 on any difference.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", file_okay=False, help="An empty folder to keep the files in; else one that is removed."),
    ] = None,
) -> None:
    """Start Envoy, a small service and extauthz on this machine, and walk through a set of requests."""
    missing = [name for name in HTTP_CLIENT if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"quickstart: `{missing[0]}` is not installed; `pip install '.[demo]'` in the project's folder brings it"
        )
    with Importing():
        from extauthz.cli.quickstart.session import run

    raise typer.Exit(run(check=check, folder=folder))
