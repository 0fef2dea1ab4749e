"""`extauthz audit tail`: the last decisions, and those that are being made.

The rule kept here: what a request brought can't move a terminal's cursor, and of a masked record nothing is guessed.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from extauthz.cli.audit_options import broken_lines, require_records
from extauthz.cli.policy_options import COLOURS, Format, FormatOption, make_console
from extauthz.cli.policy_trace import printable
from extauthz.history.reading import parse
from extauthz.history.tail import Tail
from extauthz.record.audit_line import DecisionLine
from extauthz.record.decision import DecisionName
from extauthz.record.life_lines import LifeLine

POLL: Final = 0.25
"""Seconds between two looks at a file that is followed."""
_MILLISECONDS: Final = len("2026-11-21T10:00:00.000")
_WIDEST: Final = max(map(len, COLOURS))

app = typer.Typer(name="audit", no_args_is_help=True, help="Records of decisions.")


@app.command(short_help="Show the last decisions, and follow new ones.")
def tail(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The audit file.", dir_okay=False, show_default=False)],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last decisions.")] = 10,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with those that are made, also after a rotation, until Ctrl-C."),
    ] = False,
    decision: Annotated[DecisionName | None, typer.Option(help="Only these.")] = None,
    rule: Annotated[
        str | None, typer.Option(metavar="POLICY/RULE", help="Only those that this rule decided or wants to be met.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="SUBJECT", help="Only those on this user (`sub`) or workload (SPIFFE ID).")
    ] = None,
    output: FormatOption = "text",
) -> None:
    """Show the last decisions: when, what, by which rule, why, on which request, of which user and workload."""
    sieve = _Sieve(decision=decision, rule=rule, subject=subject)
    with Tail(file) as tailed:
        newest = list(islice(sieve.sift(tailed.last()), lines))
        if lines and not newest and not follow:
            require_records(file, records=sieve.records, malformed=sieve.broken)
            typer.echo("no decision is like that", err=True)
        _show(reversed(newest), sieve, output)
        while follow:
            time.sleep(POLL)
            _show(sieve.sift(tailed.appended()), sieve, output)


@dataclass(slots=True, kw_only=True)
class _Sieve:
    """Takes out of lines the records that are wanted. `records` and `broken` count what it has seen."""

    decision: DecisionName | None
    rule: str | None
    subject: str | None
    records: int = 0
    broken: int = 0

    def sift(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, DecisionLine]]:
        for line in lines:
            record = parse(line)
            if isinstance(record, str):
                self.broken += bool(line.strip())
                continue
            if isinstance(record, LifeLine):
                continue
            self.records += 1
            if self._wants(record):
                yield line, record

    def _wants(self, record: DecisionLine) -> bool:
        return (
            self.decision in (None, record.decision)
            and self.rule in (None, record.rule, *record.demands)
            and self.subject in (None, *_subjects(record))
        )


def _show(found: Iterable[tuple[bytes, DecisionLine]], sieve: _Sieve, output: Format) -> None:
    """Print the records, and how many lines on the way were none."""
    console = make_console()
    for line, record in found:
        if output == "json":
            typer.echo(line)
        else:
            console.print(_told(record), soft_wrap=True)
    if sieve.broken:
        typer.echo(f"{sieve.broken} {broken_lines(sieve.broken)}", err=True)
        sieve.broken = 0


def _told(record: DecisionLine) -> Text:
    """One line for people; `-` is what there was not."""
    workload, user = (subject or "-" for subject in _subjects(record))
    request = record.request
    asked = "TCP" if record.tcp else "-" if request is None else f"{request.method} {request.host}{request.path}"
    return Text("  ").join(
        (
            Text(printable(f"{record.time[:_MILLISECONDS]}Z"), "dim"),
            Text(f"{record.decision:<{_WIDEST}}", COLOURS[record.decision]),
            *(Text(printable(word)) for word in (record.rule or "-", record.reason, asked, user, workload)),
        )
    )


def _subjects(record: DecisionLine) -> tuple[str | None, str | None]:
    """The workload and the user."""
    identity = record.identity
    if identity is None:
        return None, None
    workload, user = identity.workload, identity.user
    return (None if workload is None else workload.id), (None if user is None else user.sub)
