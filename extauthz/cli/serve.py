"""`extauthz serve`: the server."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from extauthz.cli.interrupts import Importing
from extauthz.settings import load_settings


def serve(
    config: Annotated[
        Path, typer.Option(help="The configuration file.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
    ] = Path("extauthz.yaml"),
) -> None:
    """Answer Envoy's checks until SIGTERM; SIGHUP reloads policies and key sets."""
    # The server's imports take longer than all of the other commands'.
    with Importing():
        from extauthz.app.key_file import tell_if_exposed
        from extauthz.app.logs import configure_logs
        from extauthz.app.server import run
        from extauthz.lookup.names import NamesApart

    configure_logs()
    settings = load_settings(config)
    tell_if_exposed(settings.keys_path)
    with asyncio.Runner(loop_factory=NamesApart) as runner:
        runner.run(run(settings, os.environ))
