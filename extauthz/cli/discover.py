"""`extauthz policy discover`: a first draft of policies from what was recorded, and what stands out in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from extauthz.cli.audit_options import (
    AuditOption,
    ConfigOption,
    broken_lines,
    declared_by,
    require_records,
    with_progress,
)
from extauthz.cli.policy_options import FormatOption, make_console, print_json
from extauthz.cli.printable import no_markup
from extauthz.errors import ExtauthzError, failure_of
from extauthz.history.discover import CRITICAL, Excess, Route, Traffic
from extauthz.history.draft import Drafted, draft
from extauthz.history.reading import read
from extauthz.policy.load import load
from extauthz.values.counting import counted

SHOWN: Final = 20
"""Rows of each table for people; JSON has all."""


def discover(
    audit: AuditOption,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the draft; without it, it is printed.", file_okay=False)
    ] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="The policies in force, to find what nobody uses of them."),
    ] = None,
    config: ConfigOption = None,
    output: FormatOption = "text",
) -> None:
    """Draft policies with tests from recorded traffic; show critical routes and access that nobody uses.

    The draft allows what was allowed, one path segment as a wildcard where values vary. Read it before you use it.
    """
    policies = load(policy, declared=declared_by(config)) if policy else None
    traffic = Traffic()
    for line in with_progress(audit, read(audit), quiet=output == "json"):
        traffic.take(line.content)
    require_records(audit, records=traffic.records, malformed=traffic.malformed)
    drafted = draft(traffic)
    files = _write(drafted, out, in_force=policy or ()) if out is not None else []
    routes = traffic.routes()
    unused = traffic.unused_allows(policies)
    excess = traffic.excess(policies) if policies is not None else []
    if output == "json":
        print_json(_summary(traffic, routes, unused, excess, drafted, files))
    else:
        _print(traffic, routes, unused, excess, drafted, files)


def _write(drafted: list[Drafted], out: Path, *, in_force: Sequence[Path]) -> list[Path]:
    """The files of the draft, in a folder of their own: among policies they would be in force before they are read.

    Raises `ExtauthzError`.
    """
    if any(out.resolve().is_relative_to(folder.resolve()) for folder in in_force):
        raise ExtauthzError(f"{out}: is among the policies in force; name another folder, and read the draft first")
    texts = {out / f"{one.name}.yaml": one.policy for one in drafted}
    texts |= {out / f"{one.name}.test.yaml": one.tests for one in drafted if one.tests is not None}
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ExtauthzError(f"{out}: is not empty; name a new folder, a draft is read before it is in force")
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExtauthzError(f"{out}: can't be written: {failure_of(error)}") from error
    return list(texts)


def _summary(
    traffic: Traffic,
    routes: list[Route],
    unused: list[str],
    excess: list[Excess],
    drafted: list[Drafted],
    files: list[Path],
) -> dict[str, Any]:
    return {
        "records": traffic.records,
        "skipped": traffic.skipped,
        "malformed": traffic.malformed,
        "routes": [
            {
                "host": route.host,
                "method": route.method,
                "path": route.template,
                "allowed": route.allowed.total(),
                "denied": route.denied.total(),
                "workloads": sorted({workload for workload, _ in route.allowed if workload}),
                "critical": route.points >= CRITICAL,
                "reasons": list(route.reasons),
            }
            for route in routes
        ],
        "unused_allows": unused,
        "excess": [{"workload": one.workload, "rule": one.rule} for one in excess],
        "drafts": [
            {"name": one.name, "policy": one.policy, "tests": one.tests, "now_allowed": list(one.now_allowed)}
            for one in drafted
        ],
        "files": [str(path) for path in files],
    }


def _print(
    traffic: Traffic,
    routes: list[Route],
    unused: list[str],
    excess: list[Excess],
    drafted: list[Drafted],
    files: list[Path],
) -> None:
    if not files:
        for one in drafted:
            typer.echo("\n---\n".join(text.rstrip() for text in (one.policy, one.tests) if text is not None))
            typer.echo("---")
    # The draft may be piped into a file, so what people read goes to the other stream.
    console = make_console(stderr=True)
    left_out = f", {traffic.skipped} not decided by policies" if traffic.skipped else ""
    broken = f", {traffic.malformed} {broken_lines(traffic.malformed)}" if traffic.malformed else ""
    console.print(f"{counted(traffic.records, 'record')}, {counted(len(routes), 'route')}{left_out}{broken}")
    critical = sorted((route for route in routes if route.points >= CRITICAL), key=lambda route: -route.points)
    rows = [(f"{one.method} {one.host}{one.template}", ", ".join(one.reasons)) for one in critical]
    _print_table(console, ("looks critical", "why"), rows)
    _print_table(console, ("allow that nobody used",), [(name,) for name in unused])
    _print_table(console, ("workload", "may use, but did not"), [(one.workload, one.rule) for one in excess])
    lost = [(request,) for one in drafted for request in one.now_allowed]
    _print_table(console, ("was denied to somebody, the draft allows it",), lost)
    for path in files:
        console.print(f"wrote {no_markup(str(path))}", highlight=False)


def _print_table(console: Console, titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for row in rows[:SHOWN]:
        table.add_row(*map(no_markup, row))
    if len(rows) > SHOWN:
        table.add_row(f"… and {len(rows) - SHOWN} more", *("" for _ in titles[1:]))
    console.print(table)
