"""`extauthz audit verify`: whether somebody touched the records, and where."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extauthz.cli.audit_options import bar_over
from extauthz.cli.audit_wanted import AuditConfig, Files, files_of
from extauthz.cli.policy_options import FormatOption, print_json
from extauthz.cli.printable import printable
from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.history.chains import Finding, KnownHead
from extauthz.history.verifying import Verified, Verifying
from extauthz.record.audit_keys import by_id, parse_public_keys, public_keys
from extauthz.values.counting import counted

if TYPE_CHECKING:
    from extauthz.settings import Settings
    from extauthz.store.protocol import Store


def verify(
    files: Files = None,
    config: AuditConfig = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Public keys that signatures are checked with, as `extauthz keys audit` prints them.",
            dir_okay=False,
        ),
    ] = None,
    head: Annotated[
        bool, typer.Option("--head", help="Compare with the ends that the store knows; needs the configuration.")
    ] = False,
    output: FormatOption = "text",
) -> None:
    """Follow the chains of all writers through these files, given in any order, and tell what does not fit.

    Give all files that there are, rotated ones among them. Signatures are checked with the keys of the configuration,
    or those given with `--key`. The exit code is 1 if anything does not fit.
    """
    if head and config is None:
        raise typer.BadParameter("the store is named in the configuration; give `--config`", param_hint="--head")
    looked = files_of(files, config)
    verifying = Verifying(_keys(key, config), _heads(config) if head and config is not None else None)
    with bar_over(looked, quiet=output == "json") as step:
        for path in looked:
            for size in verifying.read(path):
                step(size)
    result = verifying.result()
    if not result.lines:
        raise ExtauthzError(f"{looked[0]}: holds no line; `audit.path` names the file to verify")
    if output == "json":
        print_json(_summary(result))
    else:
        _print(result, head=head)
    if result.count:
        raise typer.Exit(1)


def _keys(files: Sequence[Path] | None, config: Path | None) -> Mapping[str, str] | None:
    """The public keys by id; `None` if nobody has named any."""
    if files:
        found: dict[str, str] = {}
        for file in files:
            try:
                with open_file(file) as stream:
                    text = stream.read()
            except OSError as error:
                raise ExtauthzError(f"{file}: can't be read: {failure_of(error)}") from error
            found |= by_id(parse_public_keys(text, str(file)))
        return found
    if config is None:
        return None
    # Imported here, as in `_heads`: whoever checks with public keys alone needs neither settings nor a store.
    from extauthz.app.key_file import read_keys
    from extauthz.settings import load_settings

    return by_id(public_keys(read_keys(load_settings(config).keys_path)))


def _heads(config: Path) -> list[KnownHead]:
    """The ends that the store knows."""
    from extauthz.app.wiring import require_store
    from extauthz.cli.state import with_store
    from extauthz.settings import load_settings

    require_store(load_settings(config))  # one that is made now knows nothing, and hides that the true one is gone

    async def known(_: "Settings", store: "Store") -> list[KnownHead]:
        return [
            KnownHead(writer=one.writer, seq=one.seq, hash=one.hash, file=one.file, at=one.at)
            for one in await store.audit_heads(now=time.time())
        ]

    return with_store(config, known)


def _print(result: Verified, *, head: bool) -> None:
    for finding, last in _folded(result.mistakes):
        lines = f"{finding.line}" if last == finding.line else f"{finding.line}-{last}"
        place = f"{finding.file}:{lines}: " if finding.file else ""
        typer.echo(printable(f"{place}{finding.mistake}: {finding.text}"))
    if result.count > len(result.mistakes):
        typer.echo(f"… and {result.count - len(result.mistakes)} more")
    for remark in result.remarks:
        typer.echo(printable(f"{remark.file}:{remark.line}: note: {remark.text}"), err=True)
    if not result.signatures:
        typer.echo("note: signatures were not checked; `--key` or `--config` says by which keys", err=True)
    if not head:
        typer.echo("note: ends were not compared with the store; `--head` finds what was cut off them", err=True)
    writers, files = counted(len(result.writers), "writer"), counted(result.files, "file")
    seen = f"{counted(result.lines, 'line')} of {writers} in {files}"
    typer.echo(f"{seen}: {counted(result.count, 'mistake') if result.count else 'all as it was written'}")


def _folded(found: Iterable[Finding]) -> Iterator[tuple[Finding, int]]:
    """What was found, and the last of the lines that follow one another and say the same."""
    held: tuple[Finding, int] | None = None
    for one in found:
        if held is not None and one.file and replace(one, line=held[0].line) == held[0] and one.line == held[1] + 1:
            held = held[0], one.line
            continue
        if held is not None:
            yield held
        held = one, one.line
    if held is not None:
        yield held


def _summary(result: Verified) -> dict[str, Any]:
    """The object of `--format json`."""
    return {
        "files": result.files,
        "lines": result.lines,
        "signatures_checked": result.signatures,
        "mistakes": result.count,
        "found": [asdict(one) for one in result.mistakes],
        "notes": [asdict(one) for one in result.remarks],
        "writers": [asdict(one) for one in result.writers],
    }
