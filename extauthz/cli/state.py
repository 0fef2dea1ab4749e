"""What the commands share that work on the state of the servers: the configured store, and whom they name."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from extauthz.app.wiring import open_configured_store
from extauthz.cli.policy_trace import printable
from extauthz.errors import ConfigurationError, ExtauthzError
from extauthz.identity import spiffe
from extauthz.settings import Settings, load_settings
from extauthz.store.protocol import Store
from extauthz.values.identity import Subject

_T = TypeVar("_T")

Format = Annotated[Literal["text", "json"], typer.Option("--format", help="For people or for programs.")]
Config = Annotated[
    Path, typer.Option("--config", help="The configuration file.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
]
Issuer = Annotated[str | None, typer.Option("--issuer", help="Whose user it is; needed if there are several issuers.")]

DEFAULT_CONFIG = Path("extauthz.yaml")
_SCHEME = "spiffe://"
_PATIENCE = 10.0
"""Seconds that a Redis has for one call: whoever blocks somebody from far away waits longer than Envoy does."""


class NobodyNamed(ExtauthzError):
    """Nobody is called like this; the message says what to do."""


def subject_of(settings: Settings, user: str, issuer: str | None) -> Subject:
    """The user at that issuer, or at the only one that is configured.

    Raises:
        NobodyNamed: there is no such issuer, or several to choose from.
    """
    if not user.strip():
        raise NobodyNamed("the user has no name; write the `sub` of their tokens")
    return Subject(issuer_of(settings, issuer, of=user), user)


def issuer_of(settings: Settings, issuer: str | None, *, of: str) -> str:
    """That issuer, or the only one that is configured; `of` is whom or what it knows.

    Raises:
        NobodyNamed: there is no such issuer, or several to choose from.
    """
    issuers = sorted({source.issuer for source in settings.identity.users})
    if issuer is None and len(issuers) == 1:
        return issuers[0]
    named = ", ".join(f"`{known}`" for known in issuers) or "none is configured"
    if issuer is None:
        raise NobodyNamed(f"`{of}`: whose user is it? name it with --issuer ({named})")
    if issuer not in issuers:
        raise NobodyNamed(f"`{issuer}`: no such issuer under `identity.users` ({named})")
    return issuer


def anybody_of(settings: Settings, named: str, issuer: str | None) -> Subject:
    """The workload or the user that is meant; an issuer that is not configured can be that of actors.

    Raises:
        NobodyNamed: as `subject_of`, or it is no SPIFFE ID.
    """
    if named.lower().startswith(_SCHEME) and issuer is None:
        if spiffe.parse(named, verified_by="") is None:
            raise NobodyNamed(f"`{named}`: is no SPIFFE ID; write `spiffe://DOMAIN/PATH`, the domain in lower case")
        return Subject("", named)
    configured = {source.issuer for source in settings.identity.users}
    if issuer is None or issuer in configured or not named.strip():
        return subject_of(settings, named, issuer)
    typer.echo(f"note: `{issuer}` is no issuer under `identity.users`; only actors can be of it", err=True)
    return Subject(issuer, named)


def with_store(config: Path, work: Callable[[Settings, Store], Awaitable[_T]]) -> _T:
    """What `work` makes of the store that the servers under this configuration share.

    Raises:
        ConfigurationError: the store can't be used, or is inside of a server.
        StateUnavailable: it is out of reach.
    """
    settings = load_settings(config)
    if settings.store == "memory:":
        raise ConfigurationError(
            f"{config}: store `memory:` is inside of the server; use `sqlite:///path` or `redis://…`"
        )

    async def run() -> _T:
        store = open_configured_store(settings, patience=_PATIENCE)
        try:
            return await work(settings, store)
        finally:
            await store.close()

    return asyncio.run(run())


def row(*cells: object) -> str:
    """A row of a list for people, cells apart by tabs: what came from outside ends no cell and steers no terminal."""
    return "\t".join(printable(str(cell)) for cell in cells)


def called(subject: Subject) -> str:
    """Whom a command is about, as its answer says it."""
    name = printable(subject.id)
    return f"`{name}` at {printable(subject.issuer)}" if subject.issuer else f"`{name}`"


def instant(seconds: float) -> str:
    """A time as people and programs read it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
