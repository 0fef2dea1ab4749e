"""`extauthz policy test`: run the cases of `kind: PolicyTest` documents, and say what they leave untried."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table

from extauthz.cli import policy_trace
from extauthz.cli.policy_junit import junit
from extauthz.cli.policy_options import COLOURS, PathsArgument, make_console, print_json
from extauthz.cli.printable import printable
from extauthz.errors import ExtauthzError
from extauthz.policy.cases import read_cases
from extauthz.policy.coverage import Count, Coverage, Gap
from extauthz.policy.explain import others_as_json, risk_as_json, rules_as_json
from extauthz.policy.load import load_with_documents
from extauthz.policy.problems import PolicyErrors
from extauthz.policy.sources import Sources
from extauthz.policy.trial import Outcome, run

GAPS: Final = 20
"""Untried ways that are listed for people; JSON has all."""
_POLL_MS: Final = 200

Output = Literal["text", "json", "junit"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run of all cases."""

    outcomes: tuple[Outcome, ...]
    coverage: Coverage
    sources: Sources

    @property
    def failed(self) -> int:
        return sum(1 for outcome in self.outcomes if outcome.differences)


def run_tests(
    paths: PathsArgument,
    output: Annotated[
        Output, typer.Option("--format", help="For people, for programs, or for CI as JUnit XML.")
    ] = "text",
    coverage_min: Annotated[
        float, typer.Option(min=0, max=100, help="Fail if less percent of the rules or of the branches are covered.")
    ] = 0.0,
    watch: Annotated[bool, typer.Option("--watch", help="Run again on every change, until Ctrl-C.")] = False,
) -> None:
    """Run the `kind: PolicyTest` documents among the files against the policies among them."""
    if watch:
        if output != "text":
            raise typer.BadParameter("is for people; leave out `--format`", param_hint="--watch")
        _watch(paths, lambda: _run_once(paths, "text", coverage_min))
    elif not _run_once(paths, output, coverage_min):
        raise typer.Exit(1)


def _run_once(paths: list[Path], output: Output, coverage_min: float) -> bool:
    """Whether every case came out as expected and enough is covered."""
    report = _report(paths)
    if output == "json":
        print_json(_as_json(report))
    elif output == "junit":
        typer.echo(junit(report.outcomes))
    else:
        _print(report)
    enough = True
    for what, count in (("rules", report.coverage.rules), ("branches", report.coverage.branches)):
        if count.percent < coverage_min:
            enough = False
            typer.echo(f"coverage of {what} is {count.percent:.1f} %, less than {coverage_min:g} %", err=True)
    return enough and not report.failed


def _report(paths: list[Path]) -> Report:
    documents, policies = load_with_documents(paths)
    suites = read_cases(documents)
    if not suites:
        raise ExtauthzError("no tests found; write documents of `kind: PolicyTest`")
    coverage = Coverage(policies)
    outcomes = []
    for suite in suites:
        for outcome in run(suite, policies):
            coverage.note(outcome.rules, outcome.traces)
            outcomes.append(outcome)
    return Report(outcomes=tuple(outcomes), coverage=coverage, sources=Sources(documents))


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "passed": len(report.outcomes) - report.failed,
        "failed": report.failed,
        "cases": [_case_as_json(outcome, report.sources) for outcome in report.outcomes],
        "coverage": {
            "rules": _count_as_json(report.coverage.rules),
            "branches": _count_as_json(report.coverage.branches),
            "uncovered": [
                {
                    "in": gap.owner,
                    "place": str(gap.place),
                    "expression": gap.expression,
                    "missing": f"no case where it {gap.missing}",
                }
                for gap in report.coverage.gaps(report.sources)
            ],
        },
    }


def _case_as_json(outcome: Outcome, sources: Sources) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "suite": outcome.suite,
        "case": outcome.case,
        "place": str(outcome.place),
        "decision": outcome.decision,
        "rule": outcome.rule,
        "reason": outcome.reason,
        "status": outcome.status,
        "differences": list(outcome.differences),
    }
    if outcome.differences:
        plain["rules"] = rules_as_json(outcome.rules, outcome.traces, sources)
        plain["risk"] = risk_as_json(outcome.risk, outcome.risk_traces)
        plain["others"] = others_as_json(outcome.others, sources)
    return plain


def _count_as_json(count: Count) -> dict[str, Any]:
    return {"covered": count.covered, "total": count.total, "percent": round(count.percent, 1)}


def _print(report: Report) -> None:
    console = make_console()
    table = Table("", Column("test", overflow="fold"), "decision", Column("rule", overflow="fold"), "reason")
    for outcome in report.outcomes:
        mark = "[red]failed[/]" if outcome.differences else "[green]ok[/]"
        decision = f"[{COLOURS[outcome.decision]}]{outcome.decision}[/]"
        table.add_row(mark, _name(outcome), decision, escape(outcome.rule or ""), escape(outcome.reason))
    console.print(table)
    failed = [outcome for outcome in report.outcomes if outcome.differences]
    for number, outcome in enumerate(failed):
        # One line each, uncut: editors and terminals make links of places.
        for difference in outcome.differences:
            typer.echo(printable(f"{outcome.place}: {outcome.suite}: {outcome.case}: {difference}"))
        if number == 0:
            _print_reasons(console, outcome, report)
    _print_coverage(report)
    typer.echo(f"{len(report.outcomes) - len(failed)} passed, {len(failed)} failed")


def _print_reasons(console: Console, outcome: Outcome, report: Report) -> None:
    """How the candidates of a case came out, and why the rules that it names were none."""
    described = {rule.name: rule.description for rule in report.coverage.policies.rules}
    if outcome.rules:
        console.print(Padding.indent(policy_trace.rules(outcome.rules, outcome.traces, described), 4))
    if outcome.risk:
        console.print(Padding.indent(policy_trace.risk(outcome.risk, outcome.risk_traces), 4))
    if outcome.others:
        wanted = [
            other.rule.name for other in outcome.others if f"`{other.rule.name}`" in " ".join(outcome.differences)
        ]
        console.print(Padding.indent(policy_trace.others(outcome.others, wanted=wanted), 4))


def _print_coverage(report: Report) -> None:
    coverage = report.coverage
    gaps = coverage.gaps(report.sources)
    for gap in gaps[:GAPS]:
        typer.echo(printable(_gap(gap)))
    if len(gaps) > GAPS:
        typer.echo(f"… and {len(gaps) - GAPS} more; `--format json` lists all")
    parts = [f"{count.covered} of {count.total} {what}" for what, count in _counts(coverage) if count.total]
    typer.echo(f"covered: {', '.join(parts)}")


def _counts(coverage: Coverage) -> Iterator[tuple[str, Count]]:
    yield "rules", coverage.rules
    yield "branches", coverage.branches


def _gap(gap: Gap) -> str:
    what = "" if gap.expression is None else f": `{policy_trace.cut(gap.expression, policy_trace.LONGEST_EXPRESSION)}`"
    return f"{gap.place}: {gap.owner}{what}: no case where it {gap.missing}"


def _name(outcome: Outcome) -> str:
    return escape(printable(f"{outcome.suite}: {outcome.case}"))


def _watch(paths: list[Path], once: Callable[[], bool]) -> None:
    """Run now and after each change. What is wrong with the files is told, and ends nothing."""
    # Imported here: nothing else in this command needs a file watcher.
    from watchfiles import watch

    for path in paths:
        if not path.exists():
            raise ExtauthzError(f"{path}: can't be read: no such file or directory")
    # A file is watched through its folder: editors put a new file in its place.
    folders = {path if path.is_dir() else path.absolute().parent for path in paths}
    recursive = any(path.is_dir() for path in paths)
    first = True
    try:
        # It looks for changes from before the first run on: what changes meanwhile is not missed.
        for changes in watch(
            *folders, recursive=recursive, raise_interrupt=False, yield_on_timeout=True, rust_timeout=_POLL_MS
        ):
            if first or changes:
                first = False
                _run_and_tell(once)
    except KeyboardInterrupt:
        return


def _run_and_tell(once: Callable[[], bool]) -> None:
    console = Console()
    if console.is_terminal:
        console.clear()
    try:
        once()
    except PolicyErrors as error:
        typer.echo(error.render(), err=True)
    except ExtauthzError as error:
        typer.echo(f"extauthz: {error}", err=True)
    typer.echo("waiting for changes; Ctrl-C ends this")
