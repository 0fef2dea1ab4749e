# ruff: noqa: INP001 (a script beside the pages that it writes)
"""Writes what is told of the commands, from the commands: docs/cli.md, the manual page, and the table of completion.

python docs/commands.py
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import typer
from typer.main import get_command

from extauthz import __version__
from extauthz.cli.commands import app
from extauthz.cli.exit_codes import EXIT_CODES
from extauthz.errors import Reason
from extauthz.record.life import LifeKind
from extauthz.values.approvals import State

DOCS: Final = Path(__file__).resolve().parent
PAGE: Final = DOCS / "cli.md"
MANUAL: Final = DOCS / "man" / "extauthz.1"
TABLE: Final = DOCS.parent / "extauthz" / "cli" / "completion" / "commands.json"

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "STATUS": get_args(State),
    "REASON": get_args(Reason),
    "KIND": ("decision", *get_args(LifeKind)),
}
"""What can be written for a placeholder whose words are known, though other words may be taken too."""
DATE: Final = "2026-11-22"
"""Of the manual page, as people read it; what changes with the commands needs no new one."""
RULE: Final = "POLICY/RULE"
ENVIRONMENT: Final[Mapping[str, str]] = {
    "EXTAUTHZ_CONFIG": "The configuration file, in the place of `--config`.",
    "EXTAUTHZ_…": "A key of the configuration, as docs/operations.md says.",
    "APPROVALS_URL": "Where the approvers' API is, in the place of `--url`.",
    "APPROVALS_TOKEN": "The token of an approver, in the place of `--token-file`.",
    "NO_COLOR": "Set to anything: no colours.",
}


class Parameter(NamedTuple):
    """An option or an argument: its names (none of an argument), how it is written, and what its help says."""

    names: tuple[str, ...]
    usage: str
    help: str
    takes_value: bool
    repeats: bool
    metavar: str
    values: tuple[str, ...]


class Command(NamedTuple):
    """A command or a group of them."""

    words: tuple[str, ...]
    usage: str
    summary: str
    help: str
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]
    commands: tuple["Command", ...]

    @property
    def all(self) -> Iterator["Command"]:
        """It, and all that is under it."""
        yield self
        for one in self.commands:
            yield from one.all


def described() -> Command:
    """All commands as they are."""
    return _described(get_command(app), (), None)


def _described(command: Any, words: tuple[str, ...], parent: typer.Context | None) -> Command:  # noqa: ANN401 - Typer's
    name = words[-1] if words else "extauthz"
    context = typer.Context(command, info_name=name, parent=parent, **command.context_settings)
    arguments: list[Parameter] = []
    options: list[Parameter] = []
    for one in command.get_params(context):
        if one.hidden:
            continue
        written = _parameter(one, context)
        (options if written.names else arguments).append(written)
    return Command(
        words=words,
        usage=" ".join(command.get_usage(context).removeprefix("Usage: ").split()),
        summary=command.get_short_help_str(limit=200),
        help=_paragraphs(command.help or ""),
        arguments=tuple(arguments),
        options=tuple(options),
        commands=tuple(
            _described(one, (*words, name), context)
            for name, one in getattr(command, "commands", {}).items()
            if not one.hidden
        ),
    )


def _parameter(one: Any, context: typer.Context) -> Parameter:  # noqa: ANN401 - Typer's
    usage, told = one.get_help_record(context)
    is_option = one.param_type_name == "option"
    metavar = one.metavar or ""
    return Parameter(
        names=tuple(sorted((*one.opts, *one.secondary_opts), key=len)) if is_option else (),  # `--help` has a set
        usage=usage if is_option else usage.partition(" <")[0],
        help=re.sub(r"\s*\[(.*)\]$", r" (\1)", told) if told.endswith("]") else told,
        takes_value=not (is_option and one.is_flag),
        repeats=one.multiple if is_option else one.nargs == -1,
        metavar=metavar,
        values=tuple(item.value for item in one.shell_complete(context, "")) or WORDS.get(metavar, ()),
    )


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(one.split()) for one in text.split("\n\n"))


def table(command: Command) -> dict[str, Any]:
    """What completion needs of a command and of those under it."""

    def values(one: Parameter) -> dict[str, Any]:
        names = "rule" if one.metavar == RULE else ""
        if one.metavar == "ID" and command.words[:1] == ("approvals",) and not one.repeats:
            names = "approval"
        return {"repeats": one.repeats, "values": list(one.values), "known": names}

    found: dict[str, Any] = {
        "help": command.summary,
        "options": [
            {"names": list(one.names), "help": one.help, "takes_value": one.takes_value, **values(one)}
            for one in command.options
        ],
        "arguments": [values(one) for one in command.arguments],
    }
    if command.commands:
        found["commands"] = {one.words[-1]: table(one) for one in command.commands}
    return found


def page(root: Command) -> str:
    """The page for people."""
    lines = [
        "# Commands",
        "",
        "<!-- Written by `make cli-docs` from the commands themselves. -->",
        "",
        "What `--help` says of each command, in one place. The same is a manual page, `docs/man/extauthz.1`, which the",
        "wheel installs: `man extauthz`.",
        "",
        *_beginning(),
    ]
    for one in root.all:
        lines += [f"{'#' * (2 if len(one.words) < 2 else 3)} `{' '.join(('extauthz', *one.words))}`", ""]
        lines += [one.help, "", "```", one.usage, "```", ""]
        rows = [
            (f"`{each.usage}`", each.help) for each in (*one.arguments, *one.options) if each.names != ("-h", "--help")
        ]
        rows += [(f"`{each.words[-1]}`", each.summary) for each in one.commands]
        lines += [*_rows(("option", "meaning"), [row for row in rows if row[0] != "`-h, --help`"]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _beginning() -> Iterator[str]:
    yield from ("## Exit codes", "")
    yield from _rows(("code", "meaning"), [(str(code), meaning) for code, meaning in EXIT_CODES.items()])
    yield ""
    yield from (
        "Errors are on standard error: one line that begins with `extauthz: `, and of policies one for each error with",
        "its place. A command line that can't be understood is answered by its usage.",
        "",
        "## Completion",
        "",
        "`extauthz --install-completion` installs it for the shell that it is called in: bash, zsh or fish. It",
        "completes commands, options, their words, names of rules for `--rule`, and ids of approvals that an SQLite",
        "store holds. `--show-completion` prints the script, for those who install by hand.",
        "",
        "## Environment",
        "",
    )
    yield from _rows(("variable", "meaning"), [(f"`{name}`", meaning) for name, meaning in ENVIRONMENT.items()])
    yield ""


def _rows(head: tuple[str, str], rows: list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(head)} |"
        yield "|---|---|"
    yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def manual(root: Command) -> str:
    """The manual page, in the language of man(7)."""
    lines = [
        f'.TH EXTAUTHZ 1 {DATE} "extauthz {__version__}" "User Commands"',
        ".SH NAME",
        rf"extauthz \- {_roff(root.help[0].lower() + root.help[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B extauthz",
        _roff(root.usage.removeprefix("extauthz ")),
        ".SH DESCRIPTION",
        _roff(
            "extauthz answers Envoy's external authorization checks from policies, and has commands for whoever writes "
            "these and runs it."
        ),
        ".SH COMMANDS",
    ]
    for one in root.all:
        if one.commands and one.words:
            continue
        lines += [f".SS {_roff(' '.join(('extauthz', *one.words)))}"]
        paragraphs = one.help.split("\n\n")
        lines += [_roff(paragraphs[0]), *(line for each in paragraphs[1:] for line in (".PP", _roff(each)))]
        lines += [".PP", _bold(one.usage)]
        for each in (*one.arguments, *one.options):
            lines += [".TP", _bold(each.usage), _roff(each.help)]
    for title, rows in (
        ("EXIT STATUS", {str(code): told for code, told in EXIT_CODES.items()}),
        ("ENVIRONMENT", ENVIRONMENT),
    ):
        lines.append(f".SH {title}")
        for name, told in rows.items():
            lines += [".TP", _bold(name), _roff(told)]
    return "\n".join(lines) + "\n"


def _bold(text: str) -> str:
    return f".B {' '.join(_roff(text).split(chr(10)))}"


def _roff(text: str) -> str:
    """A text as man(7) takes it: lines of at most 80 characters, none of which is a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("`", "\\(ga")
    lines = textwrap.wrap(escaped, 80, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in lines)


def written() -> dict[Path, str]:
    """All files, by their paths."""
    root = described()
    return {PAGE: page(root), MANUAL: manual(root), TABLE: json.dumps(table(root), indent=1, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    for file, text in written().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
