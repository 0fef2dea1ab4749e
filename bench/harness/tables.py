"""Tables for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.harness.compare import Change, Verdict
from bench.harness.figures import Figure, Report

_STYLES: dict[Verdict, str] = {"better": "green", "worse": "red", "noise": "dim"}


def show(console: Console, report: Report) -> None:
    """The part with its figures and notes."""
    if report.skipped:
        console.print(Text.assemble((report.title, "bold"), f"\nskipped: {report.skipped}\n"))
        return
    table = _table(report.title, ("", "median", "from", "to", "target"))
    for figure in report.figures:
        table.add_row(
            figure.name,
            f"{number(figure.value)} {figure.unit}",
            number(figure.low),
            number(figure.high),
            _target(figure),
        )
    console.print(table)
    if report.neighbours is not None:
        console.print(Text(str(report.neighbours)))
    for line in (*report.notes, *(f"missed: {line}" for line in report.missed)):
        console.print(Text(line))
    console.print()


def show_changes(console: Console, changes: Sequence[Change]) -> None:
    """What changed: first what is more than noise."""
    table = _table("What changed", ("", "before", "after", "change", ""))
    for change in sorted(changes, key=lambda change: change.verdict == "noise"):
        table.add_row(
            f"{change.part}: {change.name}",
            f"{number(change.before)} {change.unit}",
            f"{number(change.after)} {change.unit}",
            f"{change.share:+.1%}",
            Text(change.verdict, style=_STYLES[change.verdict]),
        )
    console.print(table)


def number(value: float) -> str:
    """Three digits at least, no more than are known."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def _target(figure: Figure) -> Text:
    if figure.target is None:
        return Text("")
    match figure.verdict():
        case "met":
            return Text(f"{figure.target}", style="green")
        case "missed":
            return Text(f"{figure.target} missed", style="red")
        case "unclear":
            return Text(f"{figure.target} can't be judged", style="yellow")
