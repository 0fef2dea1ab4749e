"""The fenced blocks of all pages, and the commands in them and in running text.

A block that a comment above it calls a fragment (`<!-- fragment: … -->`, with what is left out) is not looked at.
"""

import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docs.conftest import ROOT
from typer.main import get_command

from extauthz.cli.commands import app

DOCS = ROOT / "docs"
GENERATED = DOCS / "cli.md"
"""The page on commands is written from the commands."""
PAGES = sorted(
    path for path in (ROOT / "README.md", *DOCS.rglob("*.md")) if "node_modules" not in path.parts and path != GENERATED
)
FENCE = re.compile(r"(<!-- fragment: [^\n]+ -->\n+)?^( *)```([^\n`]*)\n(.*?)^\2``` *$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
NO_COMMANDS = re.compile(r"extauthz (?:bundle 1\\n|audit v1|audit checkpoint v1)")
"""Texts that are signed."""
ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "2>", "&", "#", "…"}


class Block(NamedTuple):
    """A fenced block: where it stands, its language (empty without one) and its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Those of these languages that are no fragments."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            language = match[3].partition(" ")[0]
            if language in languages and match[1] is None:
                line = text.count("\n", 0, match.start(3)) + 1
                found.append(Block(page, line, language, textwrap.dedent(match[4])))
    return found


class Written(NamedTuple):
    """A command line of ours, as a page has it."""

    place: str
    words: tuple[str, ...]


def commands() -> Iterator[Written]:
    """Every `extauthz …` in a block of commands, and in running text."""
    for block in blocks("", "console", "bash", "sh"):
        for number, line in enumerate(_joined(block.text).splitlines(), block.line + 1):
            for part in re.split(r"\$\(|<\(| \|\| | && | \| |; ", line):
                words = part.removeprefix("$ ").strip()
                words = re.sub(r"^(?:(?:env|export|until|\w+=\S*|-u \w+) )*", "", words)
                if re.match(r"(?:\.venv/bin/)?extauthz ", words):
                    yield Written(f"{block.page.relative_to(ROOT)}:{number}", _split(words))
    for page in PAGES:
        text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text())
        for match in CODE.finditer(text):
            if not match[1].startswith("extauthz ") or NO_COMMANDS.match(match[1]):
                continue
            yield Written(f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}", _split(match[1]))


def _joined(text: str) -> str:
    return re.sub(r"\\\n *", "", text)


def _split(text: str) -> tuple[str, ...]:
    """The words of a command, without what a shell does with its output, and what a column beside it says."""
    text = re.split(r" {3,}", text)[0]
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        words = text.split()
    kept: list[str] = []
    for word in words[1:]:
        if word in ENDS or word.startswith((">", "2>", "<(")):
            break
        kept.append(word.rstrip(")"))
    return tuple(kept)


@cache
def _all_commands() -> Any:
    return get_command(app)


def wrong_in(words: tuple[str, ...]) -> str | None:
    """What is wrong with a command line: a command or an option that is not there; none if nothing is."""
    command = _all_commands()
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name in ("…", "COMMAND") or "|" in name or "," in name:
            return None
        if name not in command.commands:
            return f"no command `{name}`"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    asked = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    missing = asked - known - {"--help", "-h", "--version"}
    return f"no option {', '.join(sorted(missing))}" if missing else None
