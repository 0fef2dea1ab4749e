"""`extauthz policy replay`: what other policies would have said to what was recorded."""

from collections import Counter
from dataclasses import asdict
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
from extauthz.cli.policy_options import COLOURS, FormatOption, make_console, print_json
from extauthz.cli.printable import no_markup
from extauthz.history.reading import read
from extauthz.history.replay import Change, Replay, Tally, unchanged_rules
from extauthz.policy.load import load, read_documents
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.policy.yaml_source import Document
from extauthz.values.counting import counted

SHOWN: Final = 10
"""Rows of each table for people; JSON has all."""
BROKEN: Final = 3
"""Lines that can't be read of which people are told why; JSON has more."""

PolicyOption = Annotated[
    list[Path], typer.Option(metavar="PATH", help="A policy file or folder; may be given several times.")
]


def replay(
    policy: PolicyOption,
    audit: AuditOption,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="The policies that were in force: their rules that are unchanged decide as recorded."
        ),
    ] = None,
    config: ConfigOption = None,
    output: FormatOption = "text",
) -> None:
    """Decide recorded requests again by other policies and tell what would change, for whom, by which rule.

    What a masked record no longer holds makes a case undecidable: it is counted, never guessed.
    """
    declared = declared_by(config)
    policies = load(policy, declared=declared)
    unchanged = {}
    if baseline:
        revision = load(baseline, declared=declared).revision
        unchanged[revision] = unchanged_rules(_documents(baseline), _documents(policy))
    replaying = Replay(policies, unchanged=unchanged)
    for one in with_progress(audit, read(audit), quiet=output == "json"):
        replaying.take(one.content)
    require_records(audit, records=replaying.tally.total, malformed=replaying.tally.malformed)
    for revision in unchanged.keys() - replaying.tally.revisions.keys():
        typer.echo(f"extauthz: warning: no record was decided by the baseline, whose revision is {revision}", err=True)
    if output == "json":
        print_json(_summary(replaying.tally, policies))
    else:
        _print(replaying.tally, policies)


def _documents(paths: list[Path]) -> list[Document]:
    problems: list[Problem] = []
    documents = read_documents(paths, problems)
    if problems:
        raise PolicyErrors(problems)
    return documents


def _summary(tally: Tally, policies: PolicySet) -> dict[str, Any]:
    """The object of `--format json`; every list begins with what is most."""
    return {
        "revision": policies.revision,
        "records": tally.total,
        "unchanged": tally.unchanged,
        "changed": tally.changed.total(),
        "undecidable": tally.undecidable,
        "not_by_policy": tally.not_by_policy,
        "malformed": tally.malformed,
        "first": tally.first or None,
        "last": tally.last or None,
        "recorded_revisions": [{"revision": name, "count": count} for name, count in tally.revisions.most_common()],
        "changes": [
            {
                "from": change[0],
                "to": change[1],
                "count": count,
                "examples": [asdict(example) for example in tally.examples[change]],
            }
            for change, count in tally.changed.most_common()
        ],
        "by_rule": _rows("rule", tally.by_rule),
        "by_subject": _rows("subject", tally.by_subject),
        "prompts": [{"rule": rule, "count": count} for rule, count in tally.prompts.most_common()],
        "people_prompted": len(tally.prompted),
        "prompts_by_subject": [{"subject": who, "count": count} for who, count in tally.prompted.most_common()],
        "prompts_by_signal": [
            {"signal": signal, "people": len(asked), "count": asked.total()} for signal, asked in _signals(tally)
        ],
        "missing": [{"what": what, "count": count} for what, count in tally.missing.most_common()],
        "unreadable": [asdict(line) for line in tally.unreadable],
    }


def _signals(tally: Tally) -> list[tuple[str, Counter[str]]]:
    """The signals with who would be asked how often while they counted; what is most begins."""
    return sorted(tally.signals.items(), key=lambda one: (-one[1].total(), one[0]))


def _rows(what: str, counts: Counter[tuple[str, Change]]) -> list[dict[str, Any]]:
    return [
        {what: name, "from": change[0], "to": change[1], "count": count}
        for (name, change), count in counts.most_common()
    ]


def _print(tally: Tally, policies: PolicySet) -> None:
    console = make_console()
    console.print(f"{counted(tally.total, 'record')} from {tally.first} to {tally.last}")
    console.print(f"  [bold]{tally.changed.total():>8}[/] would change")
    console.print(f"  {tally.unchanged:>8} {'stays as it is' if tally.unchanged == 1 else 'stay as they are'}")
    console.print(f"  {tally.undecidable:>8} undecidable: the record does not hold what the policies ask for")
    console.print(f"  {tally.not_by_policy:>8} not decided by policies (malformed, invalid token, …)")
    if tally.malformed:
        console.print(f"  [red]{tally.malformed:>8}[/] {broken_lines(tally.malformed)}")
    if tally.changed:
        _print_changes(console, tally)
    _print_counts(console, "people would be asked", "times", tally.prompts, "if each challenge is met at once")
    if tally.prompted:
        _print_prompted(console, tally)
    _print_counts(console, "missing in records", "cases", tally.missing, "see `audit.keep` and `--baseline`")
    for line in tally.unreadable[:BROKEN]:
        cut = ", cut off at the end of the file" if line.torn else ""
        console.print(f"line {line.number}: {no_markup(line.reason)}{cut}", style="red", highlight=False)
    console.print(f"revision {policies.revision}", style="dim")


def _print_changes(console: Console, tally: Tally) -> None:
    for title, counts in (("rule", tally.by_rule), ("subject", tally.by_subject)):
        table = Table(Column(title, overflow="fold"), "from", "to", Column("records", justify="right"))
        for (name, change), count in counts.most_common(SHOWN):
            table.add_row(no_markup(name), *map(_coloured, change), str(count))
        if len(counts) > SHOWN:
            table.add_row(f"… and {len(counts) - SHOWN} more", "", "", "")
        console.print(table)
    table = Table(*(Column(title, overflow="fold") for title in ("example", "request", "who", "from", "to")))
    for change, _ in tally.changed.most_common():
        for one in tally.examples[change]:
            table.add_row(*map(no_markup, (one.decision_id, one.request, one.subject, one.before, one.after)))
    console.print(table)


def _print_counts(console: Console, title: str, unit: str, counts: Counter[str], note: str) -> None:
    if not counts:
        return
    table = Table(Column(title, overflow="fold"), Column(unit, justify="right"), caption=note)
    for name, count in counts.most_common(SHOWN):
        table.add_row(no_markup(name), str(count))
    console.print(table)


def _print_prompted(console: Console, tally: Tally) -> None:
    people, times = len(tally.prompted), tally.prompted.total()
    who = "person" if people == 1 else "people"
    console.print(f"{people} {who} would be asked {counted(times, 'time')}, {times / people:.1f} on average")
    if not tally.signals:
        return
    numbers = (Column("people", justify="right"), Column("times", justify="right"))
    table = Table(Column("asked while this signal counted", overflow="fold"), *numbers)
    for signal, asked in _signals(tally)[:SHOWN]:
        table.add_row(no_markup(signal), str(len(asked)), str(asked.total()))
    console.print(table)


def _coloured(word: str) -> str:
    return f"[{COLOURS[word]}]{word}[/]"
