"""`extauthz doctor`: what is wrong with a running deployment, and what to do. It prints what `app.doctor` finds."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from extauthz.cli.interrupts import Importing
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.app.doctor.checks import Line
    from extauthz.policy.lint.findings import Finding
    from extauthz.policy.policy_set import PolicySet
    from extauthz.settings import Settings

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    config: Annotated[
        Path, typer.Option(help="The configuration file of the server.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
    ] = Path("extauthz.yaml"),
    envoy_admin: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Envoy's administration, as `http://127.0.0.1:9901` or `unix:/path`."),
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="For people, or for programs.")] = "text",
) -> None:
    """Look at a running deployment: what is wrong, and what to do; exit with 1 if there is any problem.

    Run it where the server runs, as its user and with its variables. It changes nothing, asks for no decision and
    prints no secret.
    """
    with Importing():
        from extauthz.app.doctor.envoy import require_address
        from extauthz.app.doctor.run import run
        from extauthz.app.logs import no_logs
        from extauthz.policy.problems import PolicyErrors
        from extauthz.settings import load_settings

    try:
        if envoy_admin is not None:
            require_address(envoy_admin)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error), param_hint="--envoy-admin") from None
    try:
        settings = load_settings(config)
    except PolicyErrors as error:
        lines: Sequence[Line] = _broken(error)
    else:
        with no_logs():  # parts of the server log what they find; it is told on our lines
            lines = asyncio.run(run(_deployment(settings, config, envoy_admin)))
    _tell(lines, output)
    if any(one.verdict == "problem" for one in lines):
        raise typer.Exit(1)


def _deployment(settings: "Settings", config: Path, envoy_admin: str | None) -> Any:  # noqa: ANN401 - imported late
    from extauthz.app.doctor.deployment import Deployment
    from extauthz.cli.envoy_validate import configured_by

    return Deployment(
        config=config,
        settings=settings,
        envoy_admin=envoy_admin,
        environ=os.environ,
        served=_served(settings, config),
        linted=_linted(settings, config),
        expected=configured_by(settings),
    )


def _served(settings: "Settings", config: Path) -> Callable[[], str]:
    from extauthz.app.doctor.deployment import PATIENCE
    from extauthz.cli.health import address_of
    from extauthz.cli.health_asking import Pinned, ask

    def served() -> str:
        tls = settings.tls
        pinned = None if tls is None else Pinned(certificate=tls.certificate, key=tls.key)
        return ask(address_of(settings.listen.grpc, config), seconds=PATIENCE, pinned=pinned)

    return served


def _linted(settings: "Settings", config: Path) -> "Callable[[], tuple[PolicySet, Sequence[Finding]]]":
    import time

    from extauthz.cli.policy_check import known_by
    from extauthz.policy.lint.run import lint
    from extauthz.policy.load import load_with_documents

    def linted() -> "tuple[PolicySet, Sequence[Finding]]":
        documents, policies = load_with_documents(
            settings.policy_paths, declared=settings.declared, definitions_alone=True
        )
        return policies, lint(documents, policies, now=time.time(), configured=known_by(settings, config).configured)

    return linted


def _broken(error: Any) -> "Sequence[Line]":  # noqa: ANN401 - imported late
    """A configuration that can't be used: nobody knows what else to look at."""
    from extauthz.app.doctor.checks import Line

    return [
        Line(
            check="configuration",
            verdict="problem",
            seen=f"{one.file}:{one.line}:{one.column}: {one.message}",
            do=one.hint or "mend it, and run this again",
        )
        for one in error.problems
    ]


def _tell(lines: "Sequence[Line]", output: str) -> None:
    from rich.markup import escape

    from extauthz.cli.policy_options import make_console, print_json
    from extauthz.cli.policy_trace import printable
    from extauthz.values.counting import counted

    problems = sum(one.verdict == "problem" for one in lines)
    warnings = sum(one.verdict == "warning" for one in lines)
    if output == "json":
        told = [{"check": one.check, "verdict": one.verdict, "seen": one.seen, "do": one.do} for one in lines]
        print_json({"ok": not problems, "problems": problems, "warnings": warnings, "checks": told})
        return
    console = make_console()
    alike: dict[tuple[str, str], list[str]] = {}
    for one in lines:  # one cause, one line: an Envoy that is not there is told by every check that would ask it
        alike.setdefault((one.verdict, f"{one.seen}; {one.do}" if one.do else one.seen), []).append(one.check)
    for (verdict, said), checks in alike.items():
        names, text = ", ".join(dict.fromkeys(checks)), escape(printable(said))
        console.print(f"[{_COLOURS[verdict]}]{verdict:7}[/] [bold]{names}[/]: {text}", highlight=False)
    console.print(f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}")
