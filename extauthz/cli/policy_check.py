"""`extauthz policy check`: every error of policies, and what they will probably be regretted for."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from extauthz import __version__
from extauthz.cli.policy_options import print_json
from extauthz.files import read_bytes
from extauthz.policy import hosts
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.lint.findings import Finding
from extauthz.policy.lint.foreign import Configured
from extauthz.policy.lint.run import lint
from extauthz.policy.lint.sarif import report
from extauthz.policy.lint.telling import Told
from extauthz.policy.load import load_with_documents
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.policy.yaml_source import decode, load_documents
from extauthz.values.counting import counted

if TYPE_CHECKING:
    from extauthz.settings import Settings

CheckFormat = Literal["text", "json", "sarif"]


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Files and folders; those of the configuration without any."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The configuration whose headers, hosts, trust domains and identity sources apply.", dir_okay=False
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
    output: Annotated[
        CheckFormat, typer.Option("--format", help="For people, for programs, or for code scanning.")
    ] = "text",
) -> None:
    """Parse, type-check and lint policies; exit with 1 if there is any error."""
    known = configured(config)
    paths = paths or list(known.policies)
    if not paths:
        raise typer.BadParameter("name the files and folders to check", param_hint="PATH")
    try:
        documents, policies = load_with_documents(paths, declared=known.declared, definitions_alone=True)
    except PolicyErrors as error:
        _tell_errors(error, output)
        raise typer.Exit(1) from None
    findings = lint(documents, policies, now=time.time(), configured=known.configured)
    _tell(policies, findings, output)
    if strict and findings:
        raise typer.Exit(1)


class Known(NamedTuple):
    """What a configuration says: where its policies are, what they may read, and which hosts and trust domains there
    are."""

    policies: tuple[Path, ...] = ()
    declared: Declared = NOTHING_DECLARED
    configured: Configured = Configured()


def configured(config: Path | None) -> Known:
    """What a configuration says. The files of identity sources and providers are read: with one that can't be used the
    server would not start. Databases and lists of addresses are not: they need not be where policies are checked."""
    if config is None:
        return Known()
    # Imported here: without a configuration the command needs no settings.
    from extauthz.app.informants import Informants
    from extauthz.app.providers import Providers
    from extauthz.app.wiring import make_resolver
    from extauthz.settings import load_settings

    settings = load_settings(config)
    make_resolver(settings)
    Informants(settings.identity, base=settings.base)
    Providers(settings.stepup.oidc, base=settings.base)
    return known_by(settings, config)


def known_by(settings: "Settings", config: Path) -> Known:
    """What the settings of the file `config` say; no other file is read."""
    domains, names = settings.identity.workload.trust_domains, settings.request.hosts
    return Known(
        policies=tuple(config.parent / path for path in settings.policies),
        declared=settings.declared,
        configured=Configured(
            trust_domains=None if domains is None else frozenset(domains),
            hosts=None if names is None else tuple(map(hosts.parse, names)),
            factors=settings.stepup.factors,
            touch_every=settings.sessions.touch_every,
            is_answered=settings.approvals.url is not None or settings.approvals.tokens is not None,
            approver_factors=settings.approvals.factors(settings.stepup.webauthn),
            schedules=frozenset(settings.approvals.schedules),
            told=_told(settings, config),
        ),
    )


def _told(settings: "Settings", config: Path) -> tuple[Told, ...]:
    """The rules that somebody is to be told of; none where there are bundles, which are not read here."""
    if settings.bundles:
        return ()
    (document,) = load_documents(decode(read_bytes(config, "configuration"), str(config)), str(config))
    found = []
    for hook, webhook in enumerate(settings.events.webhooks):
        for number, pattern in enumerate(webhook.rules or ()):
            line, column = document.place(("events", "webhooks", hook, "rules", number))
            source = document.source_line(line)
            found.append(Told(pattern=pattern, file=document.file, line=line, column=column, source_line=source))
    return tuple(found)


def _tell_errors(error: PolicyErrors, output: CheckFormat) -> None:
    match output:
        case "json":
            print_json({"ok": False, "problems": [_plain(problem) for problem in error.problems], "warnings": []})
        case "sarif":
            print_json(report(error.problems, (), version=__version__))
        case "text":
            typer.echo(error.render(), err=True)
            typer.echo(counted(len(error.problems), "error"), err=True)


def _tell(policies: PolicySet, findings: tuple[Finding, ...], output: CheckFormat) -> None:
    match output:
        case "json":
            warnings = [{"kind": one.kind, "rule": one.rule, **_plain(one.problem)} for one in findings]
            count, revision = len(policies.rules), policies.revision
            print_json({"ok": True, "problems": [], "warnings": warnings, "rules": count, "revision": revision})
        case "sarif":
            print_json(report((), findings, version=__version__))
        case "text":
            for one in findings:
                typer.echo(one.picture(), err=True)
            warned = f", {counted(len(findings), 'warning')}" if findings else ""
            typer.echo(f"{counted(len(policies.rules), 'rule')}, no errors{warned}, revision {policies.revision}")


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    }
