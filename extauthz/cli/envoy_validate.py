"""`extauthz envoy validate`: what in a configuration of Envoy would make the answers of extauthz count for nothing."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from extauthz.cli.policy_options import FormatOption, print_json
from extauthz.cli.printable import printable
from extauthz.envoy.validate.configured_rules import Configured
from extauthz.envoy.validate.findings import Finding
from extauthz.envoy.validate.reading import UnreadableEnvoy, read
from extauthz.envoy.validate.run import validate as judged
from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file
from extauthz.policy.problems import PolicyErrors
from extauthz.policy.yaml_source import MAX_CHARACTERS
from extauthz.values.counting import counted

if TYPE_CHECKING:
    from extauthz.settings import Settings

_STDIN = "-"
_AUTO = "auto"
_SECONDS = 60.0
_LOGGED = re.compile(r"^(?:\[[^\]]*\] ?)+")
"""What is before a message in a log of Envoy."""
_BOOTSTRAP = frozenset({"static_resources", "dynamic_resources", "staticResources", "dynamicResources"})


def validate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Bootstraps, a `/config_dump`, or single resources, as YAML or JSON; `-` for standard input.",
            allow_dash=True,
            show_default=False,
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration of extauthz, to compare with what it expects of Envoy.", dir_okay=False),
    ] = None,
    listener: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Judge this listener alone; may be repeated.")
    ] = None,
    envoy: Annotated[
        str | None,
        typer.Option(metavar="PATH|auto", help="Let this Envoy read it, too; `auto` takes the one that is installed."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
    output: FormatOption = "text",
) -> None:
    """Tell what in a configuration of Envoy is unsafe with extauthz; exit with 1 if there is any error."""
    configured, unread = None, ""
    if config is not None:
        from extauthz.settings import load_settings

        settings = load_settings(config)
        configured, unread = _with_holds(configured_by(settings), settings)
    binary = None if envoy is None else _binary(envoy)
    texts = [_text(file) for file in files]
    findings = judged(texts, configured, listeners=listener or ())
    asked = 0
    if binary is not None:
        bootstraps = [(name, text) for name, text in texts if _is_bootstrap(name, text)]
        asked = len(bootstraps)
        findings += tuple(one for name, text in bootstraps for one in _refusals(binary, name, text))
    _tell(findings, output, len(texts), _note(binary, asked) + unread)
    if any(one.severity == "error" for one in findings) or (strict and findings):
        raise typer.Exit(1)


def configured_by(settings: "Settings") -> Configured:
    """What the configuration of a server expects of Envoy."""
    workload = settings.identity.workload
    port = None if settings.listen.grpc.startswith("unix:") else int(settings.listen.grpc.rpartition(":")[2])
    answered = settings.approvals.url is not None or settings.approvals.tokens is not None
    places = [place for source in settings.identity.users for place in getattr(source, "places", ())]
    metadata = [place.removeprefix("metadata:") for place in places if place.startswith("metadata:")]
    return Configured(
        trusted_hops=settings.client.trusted_hops,
        xff_appended=settings.client.xff == "appended",
        headers=settings.declared_headers,
        buffered=settings.request.buffered,
        accepted=frozenset(settings.paths.accept),
        port=port or None,
        held_at_once=settings.approvals.holding.at_once if answered else 0,
        namespaces=frozenset(place.partition("/")[0] for place in metadata),
        certificate="identity.workload.sources: peer_certificate" if "peer_certificate" in workload.sources else "",
        xfcc_proves="xfcc" in workload.sources and workload.xfcc.without_principal,
        xfcc_only_one="xfcc" in workload.sources and workload.xfcc.accept == "only",
        has_pages=answered or bool(settings.stepup.factors),
    )


def _with_holds(configured: Configured, settings: "Settings") -> tuple[Configured, str]:
    """The same with the longest hold of the policies; and what to note where they can't be read."""
    from extauthz.policy.load import load
    from extauthz.policy.rules import ApproveTerms

    if settings.bundles:
        return configured, "; holds were not compared: policies come in bundles"
    try:
        policies = load(settings.policy_paths, declared=settings.declared)
    except PolicyErrors:
        return configured, "; holds were not compared: the policies have errors (`extauthz policy check`)"
    holds = [rule.terms.hold for rule in policies.rules if isinstance(rule.terms, ApproveTerms)]
    return replace(configured, longest_hold=max(holds, default=0.0)), ""


def _text(file: Path) -> tuple[str, str]:
    """The name and the text of a file; of one that is too long, enough to see that it is."""
    name = "standard input" if str(file) == _STDIN else str(file)
    try:
        if str(file) == _STDIN:
            return name, _decoded(name, sys.stdin.buffer)
        with open_file(file) as stream:
            return name, _decoded(name, stream)
    except OSError as error:
        raise UnreadableEnvoy(f"{name}: can't be read: {failure_of(error)}") from error


def _decoded(name: str, stream: BinaryIO) -> str:
    content = stream.read(MAX_CHARACTERS + 1)
    if len(content) > MAX_CHARACTERS:
        raise UnreadableEnvoy(f"{name}: longer than {MAX_CHARACTERS} bytes; split it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableEnvoy(f"{name}: not UTF-8; save it as UTF-8") from None


def _binary(envoy: str) -> Path:
    if envoy != _AUTO:
        if (found := shutil.which(envoy)) is None:
            raise ConfigurationError(f"{envoy}: no Envoy that can be run; write its path, or `auto`")
        return Path(found).absolute()
    if (found := shutil.which("envoy")) is not None:
        return Path(found).absolute()
    from extauthz.cli.quickstart.envoy import find_envoy

    return find_envoy()


def _is_bootstrap(name: str, text: str) -> bool:
    return any(not _BOOTSTRAP.isdisjoint(document.entries) for document in read(text, name))


def _refusals(binary: Path, name: str, text: str) -> Sequence[Finding]:
    """What Envoy itself says against it, if anything."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        file = Path(folder) / "envoy.yaml"
        file.write_text(text, encoding="utf-8")
        command: list[str | Path] = [
            binary,
            "--mode",
            "validate",
            "-c",
            file,
            "--log-level",
            "error",
            "--disable-hot-restart",
        ]
        try:
            ended = subprocess.run(  # noqa: S603 - the binary that the user has named
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = failure_of(error) if isinstance(error, OSError) else f"no answer within {_SECONDS:g} s"
            raise ConfigurationError(f"{binary}: can't be asked: {said}; name another Envoy by --envoy") from error
        if ended.returncode == 0:
            return ()
        lines = ended.stderr.decode("utf-8", "replace").replace(str(file), name).splitlines()
        said = " ".join(_LOGGED.sub("", line, count=1).strip() for line in lines)
    means = f"Envoy refuses it: {said[-_SHOWN:] or 'and does not say why'}"
    do = "mend it; files that it names must be there, too"
    return [Finding(rule="envoy-refuses", severity="error", file=name, line=1, path="", means=means, do=do)]


_SHOWN = 600
"""Characters of what Envoy says that are shown, the last ones."""


def _note(binary: Path | None, asked: int) -> str:
    if binary is None:
        return "Envoy itself was not asked (--envoy)"
    return (
        f"Envoy itself was asked: {counted(asked, 'file')}" if asked else "no file is a bootstrap that Envoy could read"
    )


def _tell(findings: Sequence[Finding], output: str, files: int, note: str) -> None:
    errors = sum(one.severity == "error" for one in findings)
    warnings = len(findings) - errors
    if output == "json":
        listed = [
            {name: getattr(one, name) for name in ("rule", "severity", "file", "line", "path", "means", "do")}
            for one in findings
        ]
        print_json({"ok": not errors, "errors": errors, "warnings": warnings, "findings": listed, "note": note})
        return
    for one in findings:
        typer.echo(printable(f"{one.place}: {one.severity}: {one.means} [{one.rule}]"), err=True)
        if one.path:
            typer.echo(printable(f"    at {one.path}"), err=True)
        typer.echo(printable(f"    {one.do}"), err=True)
    told = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}" if findings else "nothing found"
    typer.echo(f"{counted(files, 'file')}: {told}; {note}")
