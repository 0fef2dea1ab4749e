"""`extauthz audit find`: why something was blocked, in one line for each record that can be meant."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from extauthz.cli.audit_lines import show
from extauthz.cli.audit_options import bar_over
from extauthz.cli.audit_wanted import AuditConfig, Files, files_of, picking
from extauthz.cli.policy_options import FormatOption
from extauthz.history.audit_files import in_turn, last_written, lines_of
from extauthz.history.reading import no_records
from extauthz.history.tail import Tail
from extauthz.history.wanted import Record, Sieve, Wanted, stepping

LIMIT: Final = 100
"""Records that are shown unless more are asked for."""


@picking
def find(
    files: Files = None,
    config: AuditConfig = None,
    *,
    wanted: Wanted,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0 for all.")] = LIMIT,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="In the order that they were written.")] = False,
    output: FormatOption = "text",
) -> None:
    """Find records in one or more audit files, the newest first: when, what, by which rule, why, on what, of whom.

    `policy explain --audit FILE --id ID` shows a decision in full.
    """
    sieve = Sieve(wanted)
    looked = in_turn(files_of(files, config))
    recent = [one for one in looked if last_written(one) >= wanted.since]
    if not limit:
        if not show(_found(recent, sieve, oldest_first), sieve, output):
            _tell_nothing(looked, recent, sieve)
        return
    with bar_over(recent, quiet=output == "json") as step:
        found = list(islice(_found(recent, sieve, oldest_first, step), limit + 1))
    show(found[:limit], sieve, output)
    if not found:
        _tell_nothing(looked, recent, sieve)
    if len(found) > limit:
        typer.echo(f"there are more records than the {limit} here; `--limit 0` shows all", err=True)


def _found(
    paths: Sequence[Path], sieve: Sieve, oldest_first: bool, step: Callable[[int], None] | None = None
) -> Iterator[tuple[bytes, Record]]:
    """The wanted records of all files; `step` hears the length of each line that is looked at."""
    for path in paths if oldest_first else reversed(paths):
        if oldest_first:
            yield from sieve.sift(stepping(lines_of(path), step))
        else:
            with Tail(path) as tail:
                yield from sieve.sift(stepping(tail.last(), step))


def _tell_nothing(looked: Sequence[Path], recent: Sequence[Path], sieve: Sieve) -> None:
    """Nothing was found: because nothing is like that, or because these are no audit files."""
    if looked == recent and not sieve.records:
        raise no_records(looked[0])
    typer.echo("no record is like that", err=True)
