"""`extauthz audit export`: records as a table, for what asks other questions than a command can.

The rule kept here: the file appears whole or not at all, and is for its owner alone, as the audit is.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Annotated, Final

import typer

from extauthz.cli.audit_options import bar_over, broken_lines
from extauthz.cli.audit_wanted import AuditConfig, Files, files_of, picking
from extauthz.cli.policy_options import FormatOption, print_json
from extauthz.errors import ExtauthzError, failure_of
from extauthz.history.audit_files import in_turn, last_written, lines_of
from extauthz.history.exports import CsvExport, Export, JsonLinesExport
from extauthz.history.reading import no_records
from extauthz.history.table import row_of
from extauthz.history.wanted import Sieve, Wanted, stepping
from extauthz.values.counting import counted

_FORMS: Final = (".parquet", ".csv", ".jsonl")


@picking
def export(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="The table: `.parquet`, `.csv` or `.jsonl`.", dir_okay=False),
    ],
    files: Files = None,
    config: AuditConfig = None,
    *,
    wanted: Wanted,
    output: FormatOption = "text",
) -> None:
    """Write records as a table, in the order that they were written: Parquet (needs `extauthz[parquet]`), CSV or JSON
    Lines, as the name of the file says."""
    form = _form(out)
    recent = [one for one in in_turn(files_of(files, config)) if last_written(one) >= wanted.since]
    sieve = Sieve(wanted)
    count = _write(out, form, recent, sieve)
    if sieve.broken:
        typer.echo(f"{sieve.broken} {broken_lines(sieve.broken)}", err=True)
    if output == "json":
        print_json({"file": str(out), "records": count})
    else:
        typer.echo(f"{out}: {counted(count, 'record')}")


def _write(out: Path, form: Callable[[IO[bytes]], Export], paths: list[Path], sieve: Sieve) -> int:
    """Write the wanted records to a file beside, which then takes the name; how many there are."""
    count = 0
    try:
        with NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
            beside = Path(file.name)
            try:
                table = form(file)
                with bar_over(paths, quiet=False) as step:
                    for path in paths:
                        for raw, record in sieve.sift(stepping(lines_of(path), step)):
                            table.add(row_of(raw, record))
                            count += 1
                table.close()
                file.flush()
                _require_records(paths, sieve)
                beside.replace(out)
            except BaseException:
                beside.unlink()
                raise
    except OSError as error:
        raise ExtauthzError(f"{out}: can't be written: {failure_of(error)}") from error
    return count


def _require_records(paths: list[Path], sieve: Sieve) -> None:
    if paths and not sieve.records:
        raise no_records(paths[0])


def _form(out: Path) -> Callable[[IO[bytes]], Export]:
    match out.suffix:
        case ".csv":
            return CsvExport
        case ".jsonl":
            return JsonLinesExport
        case ".parquet":
            try:
                from extauthz.history.parquet import ParquetExport
            except ImportError:
                reason = "Parquet needs `pyarrow`; install `extauthz[parquet]`, or write `.csv` or `.jsonl`"
                raise ExtauthzError(f"{out}: {reason}") from None
            return ParquetExport
        case _:
            raise typer.BadParameter(f"a table is one of {', '.join(_FORMS)}", param_hint="--out")
