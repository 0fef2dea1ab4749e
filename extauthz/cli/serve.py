"""`extauthz serve`: the server."""

import asyncio
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from extauthz.cli.interrupts import Importing
from extauthz.settings import Settings, load_settings


class TransportName(StrEnum):
    """What carries Checks."""

    GRPCIO = "grpcio"
    PYVOY = "pyvoy"


def serve(
    config: Annotated[
        Path, typer.Option(help="The configuration file.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
    ] = Path("extauthz.yaml"),
    transport: Annotated[
        TransportName,
        typer.Option(help="What carries Checks: `grpcio` anywhere, `pyvoy` inside of an Envoy, several times faster."),
    ] = TransportName.GRPCIO,
) -> None:
    """Answer Envoy's checks until SIGTERM; SIGHUP reloads policies and key sets."""
    if transport is TransportName.GRPCIO:
        _serve_here(config)
    else:
        _serve_in_envoy(config)


def _serve_here(config: Path) -> None:
    # The server's imports take longer than all of the other commands'.
    with Importing():
        from extauthz.app.logs import configure_logs
        from extauthz.app.orders import Signals
        from extauthz.app.server import run
        from extauthz.lookup.names import NamesApart
        from extauthz.transport.grpcio import GrpcioTransport

    configure_logs()
    settings = _settings(config)

    async def serving() -> None:
        loop = asyncio.get_running_loop()
        await run(
            settings,
            os.environ,
            carry=lambda checker: GrpcioTransport(checker, loop, address=settings.listen.grpc, tls=settings.tls),
            orders=Signals(),
        )

    with asyncio.Runner(loop_factory=NamesApart) as runner:
        runner.run(serving())


def _serve_in_envoy(config: Path) -> None:
    with Importing():
        from extauthz.app.envoy_launch import envoy_worker
        from extauthz.app.logs import configure_logs
        from extauthz.app.parent import watch

    configure_logs()
    settings = _settings(config)

    asyncio.run(watch(lambda: [envoy_worker(settings, os.environ)]))


def _settings(config: Path) -> Settings:
    from extauthz.app.key_file import tell_if_exposed

    settings = load_settings(config)
    tell_if_exposed(settings.keys_path)
    return settings
