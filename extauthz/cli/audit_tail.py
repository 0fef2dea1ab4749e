"""`extauthz audit tail`: the last records, and those that are made."""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from extauthz.cli.audit_lines import show
from extauthz.cli.audit_options import require_records
from extauthz.cli.audit_wanted import AuditConfig, audit_of, picking
from extauthz.cli.policy_options import FormatOption
from extauthz.history.tail import Tail
from extauthz.history.wanted import Sieve, Wanted

POLL: Final = 0.25
"""Seconds between two looks at a file that is followed."""


@picking
def tail(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The audit file; that of the configuration without it.",
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    config: AuditConfig = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last records.")] = 10,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with those that are made, also after a rotation, until Ctrl-C."),
    ] = False,
    *,
    wanted: Wanted,
    output: FormatOption = "text",
) -> None:
    """Show the last records: when, what, by which rule, why, on which request, of which user and workload."""
    sieve = Sieve(wanted)
    file = file or audit_of(config)
    with Tail(file) as tailed:
        newest = list(islice(sieve.sift(tailed.last()), lines))
        if lines and not newest and not follow:
            require_records(file, records=sieve.records, malformed=sieve.broken)
            typer.echo("no record is like that", err=True)
        show(reversed(newest), sieve, output)
        while follow:
            time.sleep(POLL)
            show(sieve.sift(tailed.appended()), sieve, output)
