"""`extauthz serve`: the server."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.cli.interrupts import Importing

if TYPE_CHECKING:
    from extauthz.settings import Settings


class TransportName(StrEnum):
    """What carries Checks."""

    GRPCIO = "grpcio"
    PYVOY = "pyvoy"


def _count(text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise typer.BadParameter(f"`{text}` is no number of workers; write a number from 1 on, or `auto`")
    return count


def serve(
    config: Annotated[
        Path, typer.Option(help="The configuration file.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
    ] = Path("extauthz.yaml"),
    transport: Annotated[
        TransportName,
        typer.Option(help="What carries Checks: `grpcio` anywhere, `pyvoy` inside of an Envoy, several times faster."),
    ] = TransportName.GRPCIO,
    workers: Annotated[
        int,
        typer.Option(
            parser=_count,
            metavar="N|auto",
            help="How many processes answer, each at the next port; `auto` is as many as there are processors.",
        ),
    ] = 1,
) -> None:
    """Answer Envoy's checks until SIGTERM; SIGHUP reloads policies and key sets."""
    if transport is TransportName.GRPCIO and workers == 1:
        _serve_here(config)
    else:
        _serve_by_workers(config, transport, workers)


def _serve_here(config: Path) -> None:
    # The server's imports take longer than all of the other commands'.
    with Importing():
        import asyncio

        from extauthz.app.orders import Signals
        from extauthz.app.server import run
        from extauthz.lookup.names import NamesApart
        from extauthz.transport.grpcio import GrpcioTransport

    settings = _settings(config)

    async def serving() -> None:
        loop = asyncio.get_running_loop()
        await run(
            settings,
            os.environ,
            carry=lambda checker: GrpcioTransport(
                checker, loop, address=settings.listen.grpc, tls=settings.tls, sockets=settings.listen.made_sockets
            ),
            orders=Signals(),
        )

    with asyncio.Runner(loop_factory=NamesApart) as runner:
        runner.run(serving())


def _serve_by_workers(config: Path, transport: TransportName, workers: int) -> None:
    with Importing():
        import asyncio

        from extauthz.app.addresses import require_shareable, settings_of
        from extauthz.app.envoy_launch import envoy_worker
        from extauthz.app.parent import Plan, watch
        from extauthz.app.python_launch import python_worker
        from extauthz.app.worker import Worker

    launch = python_worker if transport is TransportName.GRPCIO else envoy_worker

    def read() -> "Settings":
        settings = _settings(config)
        if workers > 1:
            require_shareable(settings, workers)
        return settings

    def make(settings: "Settings", number: int) -> Worker:
        if workers == 1:
            return launch(settings, os.environ, None)
        return launch(settings_of(settings, number), os.environ, number)

    asyncio.run(watch(Plan(count=workers, read=read, make=make)))


def _settings(config: Path) -> "Settings":
    from extauthz.app.exposed import refuse_exposed, tell_exposed
    from extauthz.app.logs import configure_logs
    from extauthz.settings import load_settings

    settings = load_settings(config)
    configure_logs(settings.logs)
    refuse_exposed(settings, config)
    tell_exposed(settings)
    return settings
