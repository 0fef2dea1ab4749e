"""The live table of the walk, and the lines that follow it."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from extauthz.cli.quickstart.walk import Outcome

STYLES = {"allow": "green", "deny": "red", "challenge": "yellow", "hold": "cyan"}


def show_walk(console: Console, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Draw each outcome as it comes, or all of them at the end where nobody watches; all of them."""
    seen: list[Outcome] = []
    if not console.is_terminal:
        seen.extend(outcomes)
        console.print(_table(seen))
        return seen
    # Drawn when something has changed, not by a thread of its own.
    with Live(_table(seen), console=console, auto_refresh=False) as live:
        for outcome in outcomes:
            seen.append(outcome)
            live.update(_table(seen), refresh=True)
    return seen


def differences(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each way in which the walk was not as expected."""
    for number, outcome in enumerate(outcomes, start=1):
        for difference in outcome.differences:
            yield f"step {number} ({outcome.step.who} {outcome.step.what}): {difference}"


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("who")
    table.add_column("what")
    table.add_column("decision", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("why", no_wrap=True)
    table.add_column("ms", justify="right")
    for outcome in outcomes:
        decision = Text(f"{outcome.decision} {outcome.status}", style=STYLES.get(outcome.decision, "bold red"))
        if outcome.differences:
            decision.append("  not as expected", style="bold red")
        table.add_row(
            outcome.step.who,
            outcome.step.what,
            decision,
            outcome.rule or "",
            outcome.reason,
            f"{outcome.milliseconds:.1f}",
        )
    return table
