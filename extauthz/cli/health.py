"""`extauthz health`: whether a running server serves, for a container's HEALTHCHECK and for scripts.

The rule: with an address next to nothing is imported, so that it can be asked every few seconds.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from extauthz.cli.health_asking import NotAsked, Pinned, ask

_TCP_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - compared, not listened on


def _address(text: str) -> str:
    found = _TCP_ADDRESS.fullmatch(text)
    if not text.startswith("unix:/") and (found is None or not 0 < int(found[2]) < 65536):
        raise typer.BadParameter(
            f"`{text}` is no address; write `127.0.0.1:9191`, `[::1]:9191` or `unix:/run/extauthz/grpc.sock`"
        )
    return text if found is None else f"{_ANYWHERE.get(found[1], found[1])}:{found[2]}"


def address_of(listening: str, config: Path) -> str:
    """Where a server is asked that listens there, as the configuration says. Raises `NotAsked` if that is any port."""
    if listening.endswith(":0"):
        raise NotAsked(f"{config}: `listen.grpc` takes any free port; name the ADDRESS that the server's log tells")
    return _address(listening)


def health(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS",
            parser=_address,
            help="Where it serves gRPC, as `127.0.0.1:9191` or `unix:/path`; by default `listen.grpc`.",
        ),
    ] = None,
    config: Annotated[
        Path,
        typer.Option(
            help="The configuration file, for the address and `listen.tls`. Read for an ADDRESS only if it is given.",
            envvar="EXTAUTHZ_CONFIG",
            dir_okay=False,
        ),
    ] = Path("extauthz.yaml"),
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How long to wait for the answer.")] = 5.0,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="For people or for programs.")] = "text",
) -> None:
    """Ask a running server whether it serves; exit with 1 if it doesn't."""
    pinned = None
    source = context.get_parameter_source("config")
    if address is None or (source is not None and source.name == "COMMANDLINE"):
        configured, pinned = _configured(config)
        address = address or configured
    status = ask(address, seconds=timeout, pinned=pinned)
    typer.echo(json.dumps({"address": address, "status": status}) if output == "json" else f"{address}: {status}")
    if status != "SERVING":
        raise typer.Exit(1)


def _configured(config: Path) -> tuple[str, Pinned | None]:
    from extauthz.settings import load_settings

    settings = load_settings(config)
    tls = settings.tls
    return address_of(settings.listen.grpc, config), None if tls is None else Pinned(
        certificate=tls.certificate, key=tls.key
    )
