"""What the commands share that work on the state of the servers: the configured store, and whom they name."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from extauthz.app.command_records import command_records
from extauthz.app.wiring import open_configured_store
from extauthz.check.subjects import Naming, NoName
from extauthz.cli.printable import printable
from extauthz.errors import ConfigurationError, StateUnavailable
from extauthz.record.chronicle import Chronicle
from extauthz.settings import Settings, load_settings
from extauthz.store.open import is_shared
from extauthz.store.protocol import Store
from extauthz.values.duration import duration_text, seconds
from extauthz.values.identity import Subject

_T = TypeVar("_T")

Format = Annotated[Literal["text", "json"], typer.Option("--format", help="For people or for programs.")]
Issuer = Annotated[str | None, typer.Option("--issuer", help="Whose user it is; needed if there are several issuers.")]

_PATIENCE = 10.0
"""Seconds that a Redis has for one call: whoever blocks somebody from far away waits longer than Envoy does."""


def naming(settings: Settings) -> Naming:
    """How whom the configuration knows is named on the command line."""
    return Naming(issuers={source.issuer for source in settings.identity.users}, spelled="--{}".format)


def subject_of(settings: Settings, user: str, issuer: str | None) -> Subject:
    """The user at that issuer, or at the only one that is configured; also an approver, at theirs, if that is said.

    Raises `NobodyNamed`, and `BadParameter` for what can be nobody's name.
    """
    known = naming(settings)
    approvals = (settings.approvals.login, settings.approvals.tokens)
    if issuer is not None and any(one is not None and one.issuer == issuer for one in approvals):
        known = replace(known, issuers={*known.issuers, issuer})
    with _nameable():
        return known.user(user, issuer)


def issuer_of(settings: Settings, issuer: str | None, *, of: str) -> str:
    """That issuer, or the only one that is configured; `of` is whom or what it knows. Raises `NobodyNamed`."""
    return naming(settings).issuer(issuer, of=of)


def anybody_of(settings: Settings, named: str, issuer: str | None) -> Subject:
    """The workload or the user that is meant; an issuer that is not configured can be that of actors.

    Raises `NobodyNamed`, and `BadParameter` for what can be nobody's name.
    """
    with _nameable():
        subject = naming(settings).anybody(named, issuer)
    note_actors(settings, issuer)
    return subject


@contextmanager
def _nameable() -> Iterator[None]:
    try:
        yield
    except NoName as error:
        raise typer.BadParameter(str(error)) from None


def note_actors(settings: Settings, issuer: str | None) -> None:
    """Say that only actors can be of this issuer, if so: a typing error would name nobody."""
    if naming(settings).is_only_of_actors(issuer):
        typer.echo(f"note: `{issuer}` is no issuer under `identity.users`; only actors can be of it", err=True)


def link_seconds(written: str, *, longest: float) -> float:
    """How long a link is good, as `--valid-for` says it. Raises `typer.BadParameter`."""
    try:
        valid_for = seconds(written)
    except ValueError as error:
        raise typer.BadParameter(f"`{written}`: {error}", param_hint="--valid-for") from None
    if not 0 < valid_for <= longest:
        most = duration_text(longest)
        raise typer.BadParameter(f"`{written}`: write more than nothing and at most `{most}`", param_hint="--valid-for")
    return valid_for


def with_store(config: Path, work: Callable[[Settings, Store], Awaitable[_T]]) -> _T:
    """What `work` makes of the store that the servers under this configuration share.

    Raises:
        ConfigurationError: the store can't be used, or is inside of a server.
        StateUnavailable: it is out of reach.
    """
    return _worked(config, load_settings(config), work)


def changing_store(config: Path, work: Callable[[Settings, Store, Chronicle], Awaitable[_T]]) -> _T:
    """As `with_store`, for what changes something: `work` is given where it tells that. What it has told is in the
    audit when this returns.

    Raises:
        ConfigurationError: the audit file can't be written, too; then nothing was changed.
        NotRecorded: it is done, and the audit does not say so.
    """
    settings = load_settings(config)
    with command_records(settings) as chronicle:

        async def told(settings: Settings, store: Store) -> _T:
            return await work(settings, store, chronicle)

        return _worked(config, settings, told)


def _worked(config: Path, settings: Settings, work: Callable[[Settings, Store], Awaitable[_T]]) -> _T:
    if settings.store == "memory:":
        raise ConfigurationError(
            f"{config}: store `memory:` is inside of the server; use `sqlite:///path` or `redis://…`"
        )

    async def run() -> _T:
        store = open_configured_store(settings, patience=_PATIENCE)
        try:
            return await work(settings, store)
        except StateUnavailable as error:
            if not is_shared(settings.store):
                raise
            told = str(error).rstrip(".")
            raise StateUnavailable(f"{told}; is it running, and is `store` in {config} its address?") from error
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
