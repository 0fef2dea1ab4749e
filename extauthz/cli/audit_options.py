"""What the commands that read audit files share: their options, the progress bar, and what they say of broken lines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from extauthz.errors import ExtauthzError, failure_of
from extauthz.history.reading import Read, no_records
from extauthz.values.counting import counted

if TYPE_CHECKING:
    from extauthz.policy.declared import Declared

STEP: Final = 500
"""Records between two looks at the progress bar."""

AuditOption = Annotated[Path, typer.Option(help="An audit file that `extauthz serve` has written.", dir_okay=False)]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="The configuration that says what policies may read.",
        dir_okay=False,
    ),
]


def declared_by(config: Path | None) -> "Declared":
    """What the configuration says that policies may read."""
    # Imported here: other commands need neither policies nor settings.
    from extauthz.policy.declared import NOTHING_DECLARED

    if config is None:
        return NOTHING_DECLARED
    from extauthz.settings import load_settings

    return load_settings(config).declared


@contextmanager
def bar_over(paths: Sequence[Path], *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error that says how far through these files one is: told of the length of each line."""
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        name = paths[0].name if len(paths) == 1 else counted(len(paths), "file")
        task = progress.add_task(escape(name), total=sum(map(_size, paths)))
        done = number = 0

        def step(size: int) -> None:
            nonlocal done, number
            done += size
            number += 1
            if number % STEP == 0:
                progress.update(task, completed=done)

        yield step


def with_progress(audit: Path, lines: Iterable[Read], *, quiet: bool) -> Iterator[Read]:
    """The lines of the file, with a bar on standard error that says how far they are; none where nobody watches."""
    with bar_over([audit], quiet=quiet) as step:
        for line in lines:
            yield line
            step(line.size)


def _size(audit: Path) -> int:
    try:
        return audit.stat().st_size
    except OSError as error:
        raise ExtauthzError(f"{audit}: can't read the audit file: {failure_of(error)}") from error


def require_records(audit: Path, *, records: int, malformed: int) -> None:
    """Raise `ExtauthzError` if there was not one record of a decision: it is another file, or an empty one."""
    if not records:
        other = f", but {counted(malformed, 'other line')}" if malformed else ""
        raise no_records(audit, besides=other)


def broken_lines(count: int) -> str:
    """What so many lines are, after their number."""
    return "line is no record" if count == 1 else "lines are no records"
