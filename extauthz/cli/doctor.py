"""`extauthz doctor`: what is wrong with a running deployment, and what to do. It prints what `app.doctor` finds."""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from extauthz.cli.interrupts import Importing
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.app.doctor.checks import Line
    from extauthz.app.doctor.deployment import Asking
    from extauthz.cli.header_lines import Headers
    from extauthz.policy.lint.findings import Finding
    from extauthz.policy.policy_set import PolicySet
    from extauthz.settings import Settings

HEADERS_VARIABLE: Final = "DOCTOR_HEADERS"
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_WHAT: Final = re.compile(
    r"(?:(https?)://((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?))?(/[!-\"$-~]{0,2000})?",
)
"""A path or a URL, as it can be sent: ASCII without spaces and `#`."""
_NOBODY: Final = "extauthz-doctor.invalid"
"""The host of what is asked where no other is named: nobody's (RFC 2606)."""


def _what(text: str) -> str:
    if not text or _WHAT.fullmatch(text) is None:
        raise typer.BadParameter(
            f"`{text}` is neither a path nor a URL; write `/orders` or `https://shop.example.com/orders`"
        )
    return text


def doctor(
    config: Annotated[
        Path, typer.Option(help="The configuration file of the server.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
    ] = Path("extauthz.yaml"),
    envoy_admin: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Envoy's administration, as `http://127.0.0.1:9901` or `unix:/path`."),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            parser=_what,
            help="Have the server decide about a GET of this path or URL. It is recorded.",
        ),
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send the same request through Envoy: the address of one of its listeners."),
    ] = None,
    ask_headers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Ask with the headers in this file, `name: value` in each line; or set {HEADERS_VARIABLE} to them.",
            dir_okay=False,
        ),
    ] = None,
    ask_certificate: Annotated[
        Path | None,
        typer.Option(help="Ask with this certificate, as `listen.tls.callers` names it, in PEM.", dir_okay=False),
    ] = None,
    ask_key: Annotated[Path | None, typer.Option(help="The key of that certificate.", dir_okay=False)] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="For people, or for programs.")] = "text",
) -> None:
    """Look at a running deployment: what is wrong, and what to do; exit with 1 if there is any problem.

    Run it where the server runs, as its user and with its variables. It changes nothing and prints no secret. It asks
    for no decision, but with `--ask`.
    """
    with Importing():
        from extauthz.app.doctor.envoy import require_address
        from extauthz.app.doctor.run import run
        from extauthz.app.logs import no_logs
        from extauthz.cli.header_lines import headers_from
        from extauthz.cli.this_machine import reaches_here
        from extauthz.policy.problems import PolicyErrors
        from extauthz.settings import load_settings

    for option, address, port in (("--envoy-admin", envoy_admin, 9901), ("--through", through, 8443)):
        try:
            if address is not None:
                require_address(address, port=port)
        except ConfigurationError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
    _require_something_to_ask(ask, through, ask_headers, ask_certificate, ask_key)
    headers = () if ask is None else headers_from(ask_headers, variable=HEADERS_VARIABLE)
    if headers and through is not None and not reaches_here(through):
        # Envoy's certificate is not looked at, so nobody knows who would read them.
        raise typer.BadParameter(
            "would send your headers to another machine; name a listener on a loopback address or a Unix socket, or"
            " leave the headers out",
            param_hint="--through",
        )
    try:
        settings = load_settings(config)
    except PolicyErrors as error:
        lines: Sequence[Line] = _broken(error)
    else:
        with no_logs():  # parts of the server log what they find; it is told on our lines
            asking = _asking(settings, config, ask, through, headers, ask_certificate, ask_key)
            lines = asyncio.run(run(_deployment(settings, config, envoy_admin, asking)))
    _tell(lines, output)
    if any(one.verdict == "problem" for one in lines):
        raise typer.Exit(1)


def _require_something_to_ask(
    ask: str | None, through: str | None, headers: Path | None, certificate: Path | None, key: Path | None
) -> None:
    if ask is None and through is not None:
        raise typer.BadParameter("say what to ask about: `--ask PATH`", param_hint="--through")
    if ask is None and headers is not None:
        raise typer.BadParameter("say what to ask about: `--ask PATH`", param_hint="--ask-headers")
    if ask is None and (certificate is not None or key is not None):
        raise typer.BadParameter("say what to ask about: `--ask PATH`", param_hint="--ask-certificate")
    if (certificate is None) != (key is None):
        raise typer.BadParameter("a certificate and its key go together", param_hint="--ask-certificate")


def _asking(
    settings: "Settings",
    config: Path,
    ask: str | None,
    through: str | None,
    headers: "Headers",
    certificate: Path | None,
    key: Path | None,
) -> "Asking | None":
    from extauthz.app.doctor.deployment import PATIENCE, Asking
    from extauthz.cli.health import address_of
    from extauthz.cli.health_asking import Pinned, decide

    if ask is None:
        return None
    own = None if certificate is None or key is None else (certificate, key)

    def decided(check: bytes) -> tuple[bytes, float]:
        tls = settings.tls
        pinned = None if tls is None else Pinned(certificate=tls.certificate, key=tls.key, own=own)
        return decide(address_of(settings.listen.grpc, config), check, seconds=PATIENCE, pinned=pinned)

    scheme, host, path = _WHAT.fullmatch(ask).groups()  # type: ignore[union-attr]  # `_what` has seen to it
    return Asking(
        scheme=scheme or "https",
        host=host or _NOBODY,
        path=path or "/",
        decide=decided,
        through=through,
        headers=headers,
    )


def _deployment(settings: "Settings", config: Path, envoy_admin: str | None, asking: "Asking | None") -> Any:  # noqa: ANN401 - imported late
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
        asking=asking,
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
    from extauthz.cli.printable import printable
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
