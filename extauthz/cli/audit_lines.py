"""How records look on a terminal: one line each, in columns that the eye finds.

The rule kept here: what a request brought can't move a terminal's cursor, and of a masked record nothing is guessed.
"""

import sys
from collections.abc import Iterable
from typing import Final

import typer
from rich.text import Text

from extauthz.cli.audit_options import broken_lines
from extauthz.cli.policy_options import COLOURS, Format, make_console, seen
from extauthz.cli.printable import printable
from extauthz.history.wanted import Record, Sieve, subjects
from extauthz.record.audit_line import DecisionLine
from extauthz.record.life_lines import LifeLine

_MILLISECONDS: Final = len("2026-11-21T10:00:00.000")
_WIDEST: Final = max(map(len, COLOURS))
_TOLD: Final = {"audit": ("file", "version"), "keys": ("makes",)}
"""Of the details of these kinds of events, what tells one from another."""


def show(found: Iterable[tuple[bytes, Record]], sieve: Sieve, output: Format) -> int:
    """Print the records, and how many lines on the way were none; how many records there were."""
    console = make_console()
    count = 0
    for line, record in found:
        count += 1
        if output == "json":
            # As it was written, which a chain goes on from; but nobody compares what is on a terminal.
            typer.echo(seen(line.decode("utf-8", "replace")) if sys.stdout.isatty() else line)
        else:
            console.print(told(record), soft_wrap=True)
    if sieve.broken:
        typer.echo(f"{sieve.broken} {broken_lines(sieve.broken)}", err=True)
        sieve.broken = 0
    return count


def told(record: Record) -> Text:
    """One line for people; `-` is what there was not."""
    match record:
        case DecisionLine():
            return _decision(record)
        case LifeLine():
            return _event(record)


def _decision(record: DecisionLine) -> Text:
    workload, user = (subject or "-" for subject in subjects(record))
    request = record.request or record.glimpse
    asked = "TCP" if record.tcp else "-" if request is None else f"{request.method} {request.host}{request.path}"
    # What went wrong tells more than the word for it; the id is what `policy explain --id` and the page take.
    why = record.reason if record.detail is None else f"{record.reason} ({record.detail})"
    words = (record.rule or "-", why, asked, user, workload, record.decision_id)
    return _row(record.time, f"{record.decision:<{_WIDEST}}", COLOURS[record.decision], words)


def _event(record: LifeLine) -> Text:
    """What happened, to whom and by whom, why, with what it belongs to."""
    subject = "-" if record.subject is None else record.subject.sub
    what = [record.factor, record.challenge, record.approval, record.grant]
    kind = record.event.partition(".")[0]
    what += [str(record.details[name]) for name in _TOLD.get(kind, ()) if name in record.details]
    if kind == "policy":
        what.append(record.revision)
    words = (
        record.event,
        record.rule or "-",
        record.reason or "-",
        " ".join(dict.fromkeys(word for word in what if word)) or "-",  # what an approval gave has its id
        subject,
        f"by {record.by}",
    )
    return _row(record.time, f"{'·':<{_WIDEST}}", "dim", words)


def _row(time: str, kind: str, colour: str, words: Iterable[str]) -> Text:
    return Text("  ").join(
        (
            Text(printable(f"{time[:_MILLISECONDS]}Z"), "dim"),
            Text(kind, colour),
            *(Text(printable(word)) for word in words),
        )
    )
