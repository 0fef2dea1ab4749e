"""`extauthz approvals deliveries`: what somebody is not told yet, of approvals and events, and how to tell it again.

The rule: what is sent again comes under the id that it had, so that whoever got it before can tell.
"""

import time
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from extauthz.approval.telling.config import MAIL
from extauthz.cli.approval_ids import all_checked, meant
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.policy_options import print_json
from extauthz.cli.printable import printable
from extauthz.cli.state import Format, row, with_store
from extauthz.errors import ExtauthzError
from extauthz.settings import Settings
from extauthz.store.protocol import Store
from extauthz.values.counting import counted
from extauthz.values.instant import instant
from extauthz.values.letters import LetterState

app = typer.Typer(name="deliveries", no_args_is_help=True, help="What webhooks and mail tell of approvals and events.")

_PAGE = 500
"""Letters that are asked for at a time."""
_COLUMNS: Final = ("id", "at", "sink", "to", "kind", "approval", "status", "attempts", "error")

Sink = Annotated[
    str | None, typer.Option("--sink", metavar="NAME", help=f"The name of a webhook, or `{MAIL}`.", show_default=False)
]


class DeliveriesRefused(ExtauthzError):
    """Deliveries can't be named like this; the message says what to do."""


@app.command("list", short_help="List what is not delivered.")
def list_(
    sink: Sink = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only what was given up.")] = False,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List what is not delivered yet, and what was given up: what happened when, who is not told of it, how often that
    was tried, and what became of the last attempt."""

    async def work(settings: Settings, store: Store) -> list[LetterState]:
        _note_unknown(settings, sink)
        return await _letters(store, dead=dead or None, sink=sink)

    states = sorted(with_store(config, work), key=lambda state: (state.letter.at, state.letter.id))
    rows = [_described(state) for state in states]
    if output == "json":
        print_json(rows)
        return
    if not rows:
        typer.echo("nothing waits", err=True)
        return
    for one in (dict(zip(_COLUMNS, _COLUMNS, strict=True)), *rows):
        typer.echo(row(*(one[name] for name in _COLUMNS)))


@app.command(short_help="Tell again what was given up.")
def replay(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", callback=all_checked, help="As `list` shows them, or their beginnings."),
    ] = None,
    sink: Sink = None,
    everything: Annotated[bool, typer.Option("--all", help="All that was given up.")] = False,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Tell again what was given up: by the ids, for a webhook or mail, or all of it. The servers do it at once."""
    if everything == any(named for named in (ids, sink)):
        raise typer.BadParameter("say what to tell again: ids, --sink, or --all alone")

    async def work(settings: Settings, store: Store) -> int:
        _note_unknown(settings, sink)
        named = _named(ids, await _letters(store)) if ids else None
        return await store.replay_letters(named, sink, now=time.time())

    replayed = with_store(config, work)
    if output == "json":
        print_json({"replayed": replayed})
    else:
        typer.echo(f"{counted(replayed, 'letter')} will be sent again")


async def _letters(store: Store, *, dead: bool | None = None, sink: str | None = None) -> list[LetterState]:
    """All of them that are kept: dead ones, others, or all for `None`; of a sink."""
    found: list[LetterState] = []
    while some := await store.letters(dead=dead, sink=sink, most=_PAGE, after=found[-1].letter.id if found else ""):
        found += some
    return found


def _named(ids: Iterable[str], states: Iterable[LetterState]) -> list[str]:
    """The ids of letters with these ids or beginnings. Raises `DeliveriesRefused`, and `NotDone` as `meant`."""
    there = {state.letter.id for state in states}
    found = []
    for id_ in ids:
        one = id_ if id_ in there else meant(id_, there)
        if one is None:
            raise DeliveriesRefused(
                f"`{printable(id_)}`: there is no such letter, or it was delivered; `list --dead` shows what was"
                " given up"
            )
        found.append(one)
    return found


def _note_unknown(settings: Settings, sink: str | None) -> None:
    """Say that nobody delivers this any more, if so: it may be a typing error, or a webhook that was removed."""
    known = _sinks(settings)
    if sink is not None and sink not in known:
        typer.echo(f"note: `{sink}` is nobody who is told under `approvals` or `events`", err=True)


def _sinks(settings: Settings) -> Iterable[str]:
    mail = () if settings.approvals.email is None else (MAIL,)
    webhooks = (*settings.approvals.webhooks, *settings.events.webhooks)
    return (*(one.name for one in webhooks), *mail)


def _described(state: LetterState) -> dict[str, Any]:
    letter = state.letter
    return {
        "id": letter.id,
        "event": letter.event,
        "kind": letter.kind,
        "approval": letter.approval,
        "at": instant(letter.at),
        "sink": letter.sink,
        "to": letter.to,
        "status": "waiting" if state.dead_at is None else "dead",
        "attempts": state.attempts,
        "error": state.error,
        "due": None if state.dead_at is not None else instant(state.due_at),
        "dead_since": None if state.dead_at is None else instant(state.dead_at),
    }
