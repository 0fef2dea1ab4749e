"""`extauthz subjects`: who is blocked, and what counts no more of what was issued to them.

The rule: what a command says it has done is in the store that the servers follow; they know it within a second.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import isinf
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from extauthz.check.subjects import ByHand, NoName, SubjectsRefused, described, described_signal
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.policy_options import print_json
from extauthz.cli.printable import printable
from extauthz.cli.state import Format, Issuer, called, changing_store, naming, note_actors, row, with_store
from extauthz.identity.revocations import Revocation
from extauthz.record.chronicle import Chronicle
from extauthz.settings import Settings
from extauthz.store.protocol import Store
from extauthz.store.revocations import Revoked
from extauthz.values.counting import counted
from extauthz.values.instant import instant

app = typer.Typer(name="subjects", no_args_is_help=True, help="Block users and workloads, revoke what they were given.")

_T = TypeVar("_T")

Named = Annotated[str, typer.Argument(metavar="SUBJECT", help="The `sub` of the user's tokens, or a SPIFFE ID.")]
For = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="How long it holds, say `30m`; without it for ever.")
]


@app.command(short_help="Refuse every request of SUBJECT.")
def block(
    subject: Named,
    issuer: Issuer = None,
    duration: For = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Refuse every request of SUBJECT, and every token in which it is an actor, until it is unblocked."""
    revoked = _changed(config, issuer, lambda by_hand: by_hand.block(subject, issuer, duration=duration))
    _report(revoked, f"blocked{_until(revoked.revocation)}", output)


@app.command(short_help="End a block.")
def unblock(subject: Named, issuer: Issuer = None, config: Config = DEFAULT_CONFIG, output: Format = "text") -> None:
    """End a block, also that of an account which a transmitter has disabled. What was revoked stays revoked."""
    ended = _changed(config, issuer, lambda by_hand: by_hand.unblock(subject, issuer))
    named = ended.subject
    if output == "json":
        print_json({"sub": named.id, "issuer": named.issuer, "was_blocked": ended.was_blocked})
    else:
        typer.echo(f"{called(named)}: {'unblocked' if ended.was_blocked else 'was not blocked'}")


@app.command(short_help="Refuse the tokens that SUBJECT was given.")
def revoke(
    subject: Named,
    issuer: Issuer = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="SID", help="Only the session with this `sid`.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="JTI", help="Only the token with this `jti`, or `sha256:` and its digest."),
    ] = None,
    duration: For = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Refuse the tokens that SUBJECT was given until now, and forget what was proven with them."""
    revoked = _changed(
        config,
        issuer,
        lambda by_hand: by_hand.revoke(subject, issuer, session=session, token=token, duration=duration),
    )
    if session is not None:
        what = f"session `{session}`"
    elif token is not None:
        what = f"token `{token}`"
    else:
        what = f"what was issued until {instant(revoked.revocation.at)}"
    void = f"; {counted(revoked.grants, 'grant')} void" if revoked.revocation.voids_grants else ""
    _report(revoked, f"revoked {what}{_until(revoked.revocation)}{void}", output)


@app.command("list", short_help="List what is blocked and revoked.")
def list_(
    subject: Annotated[str | None, typer.Argument(metavar="SUBJECT", help="Only this subject's.")] = None,
    issuer: Issuer = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List what is blocked and revoked, and what others say, of SUBJECT or of everybody, oldest first."""
    named_issuer = None if subject is None else issuer
    revocations, signals = _done(config, named_issuer, lambda by_hand: by_hand.listed(subject, issuer))
    if output == "json":
        print_json([*map(described, revocations), *map(described_signal, signals)])
        return
    for one in map(described, revocations):
        cells = (one[name] for name in ("sub", "issuer", "kind", "id", "at"))
        typer.echo(row(*cells, one["until"] or "for ever"))
    for one in map(described_signal, signals):
        cells = (one[name] for name in ("sub", "issuer", "kind", "id", "at"))
        typer.echo(row(*cells, one["until"] or "for ever", one["name"], one["level"], one["source"], one["reason"]))
    if not revocations and not signals:
        typer.echo("nothing is revoked", err=True)


def _done(config: Path, issuer: str | None, work: Callable[[ByHand], Awaitable[_T]]) -> _T:
    """What comes of `work` on the store of this configuration."""

    async def run(settings: Settings, store: Store) -> _T:
        done = await work(ByHand(store=store, naming=naming(settings), clock=time.time))
        note_actors(settings, issuer)
        return done

    with _meant():
        return with_store(config, run)


def _changed(config: Path, issuer: str | None, work: Callable[[ByHand], Awaitable[_T]]) -> _T:
    """As `_done`, of what changes something, which is recorded."""

    async def run(settings: Settings, store: Store, chronicle: Chronicle) -> _T:
        done = await work(ByHand(store=store, naming=naming(settings), clock=time.time, chronicle=chronicle))
        note_actors(settings, issuer)
        return done

    with _meant():
        return changing_store(config, run)


@contextmanager
def _meant() -> Iterator[None]:
    """What the words can't mean is a mistake of the command line."""
    try:
        yield
    except (NoName, SubjectsRefused) as error:
        raise typer.BadParameter(str(error)) from None


def _until(revocation: Revocation) -> str:
    return "" if isinf(revocation.until) else f", in force until {instant(revocation.until)}"


def _report(revoked: Revoked, text: str, output: Literal["text", "json"]) -> None:
    if output == "json":
        print_json(described(revoked.revocation) | {"grants": revoked.grants})
    else:
        typer.echo(printable(f"{called(revoked.revocation.subject)}: {text}"))
