"""What the commands share that work on the state of the servers: the configured store, and whom they name."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from extauthz.app.wiring import open_configured_store
from extauthz.errors import ConfigurationError, ExtauthzError
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


class NobodyNamed(ExtauthzError):
    """Nobody is called like this; the message says what to do."""


def subject_of(settings: Settings, user: str, issuer: str | None) -> Subject:
    """The user at that issuer, or at the only one that is configured.

    Raises:
        NobodyNamed: there is no such issuer, or several to choose from.
    """
    if not user.strip():
        raise NobodyNamed("the user has no name; write the `sub` of their tokens")
    issuers = sorted({source.issuer for source in settings.identity.users})
    if issuer is None and len(issuers) == 1:
        return Subject(issuers[0], user)
    named = ", ".join(f"`{known}`" for known in issuers) or "none is configured"
    if issuer is None:
        raise NobodyNamed(f"`{user}`: whose user is it? name it with --issuer ({named})")
    if issuer not in issuers:
        raise NobodyNamed(f"`{issuer}`: no such issuer under `identity.users` ({named})")
    return Subject(issuer, user)


def with_store(config: Path, work: Callable[[Settings, Store], Awaitable[_T]]) -> _T:
    """What `work` makes of the store that the servers under this configuration share.

    Raises:
        ConfigurationError: the store can't be used, or is inside of a server.
        StateUnavailable: it is out of reach.
    """
    settings = load_settings(config)
    if settings.store == "memory:":
        raise ConfigurationError(f"{config}: store `memory:` is inside of the server; use `sqlite:///path`")

    async def run() -> _T:
        store = open_configured_store(settings)
        try:
            return await work(settings, store)
        finally:
            await store.close()

    return asyncio.run(run())


def instant(seconds: float) -> str:
    """A time as people and programs read it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
