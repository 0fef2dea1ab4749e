"""What the commands that read policies and records share: their options, colours, and the way they read and print."""

import json
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console

from extauthz.errors import ConfigurationError, ExtauthzError, failure_of
from extauthz.files import open_file

Format = Literal["text", "json"]
FormatOption = Annotated[Format, typer.Option("--format", help="For people, or for programs.")]
PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and folders.", show_default=False)]

COLOURS: Final = {"allow": "green", "deny": "red", "challenge": "yellow", "hold": "magenta"}
"""The colour of each decision."""

UNBOUNDED: Final = 65_536
"""Columns of what is no terminal: it breaks no line."""


def read_text(file: Path) -> str:
    """The text of a file. Raises `ExtauthzError` if it can't be read."""
    try:
        with open_file(file) as stream:
            return stream.read().decode("utf-8")
    except OSError as error:
        raise ExtauthzError(f"{file}: can't be read: {failure_of(error)}") from error
    except UnicodeDecodeError:
        raise ExtauthzError(f"{file}: not UTF-8; save it as UTF-8") from None


def policies_of(config: Path | None) -> list[Path]:
    """The policies on disk that a configuration names, for a command whose `--policy` names none.

    Raises:
        ExtauthzError: it can't be used, or names none.
    """
    if config is None:
        raise typer.BadParameter("name it, or by `--config` the configuration that does", param_hint="--policy")
    # Imported here: without a configuration the commands need no settings.
    from extauthz.settings import load_settings

    settings = load_settings(config)
    if not settings.policies:
        raise ConfigurationError(f"{config}: `policies` names none on disk; name them by `--policy`")
    return [settings.base / path for path in settings.policies]


def make_console(*, stderr: bool = False) -> Console:
    """A console for people. Where it is no terminal, no line is broken: programs read by lines."""
    console = Console(stderr=stderr, highlight=False)
    if not console.file.isatty():
        console.width = UNBOUNDED
    return console


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON, on one line if `indent` is `None`."""
    typer.echo(seen(json.dumps(value, indent=indent, ensure_ascii=False)))


def seen(text: str) -> str:
    """JSON whose strings have an escape for each character that a terminal would obey or not show."""
    return "\n".join(line if line.isprintable() else "".join(map(_seen, line)) for line in text.split("\n"))


def _seen(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]
