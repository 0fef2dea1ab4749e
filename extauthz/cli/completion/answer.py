"""What can stand where the cursor is, as the scripts of `--show-completion` ask for it.

The protocol is Typer's: a variable names the shell, others have the line. Nothing here fails: a shell that gets no
answer completes file names.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

INSTRUCTION: Final = "_EXTAUTHZ_COMPLETE"
"""The variable that says for which shell something is to be completed: `complete_bash`."""

TABLE: Final = Path(__file__).with_name("commands.json")
_GLUE: Final = {":", "="}
"""Words of their own in bash, in whose lists of words they stand between two that belong together."""

Candidate = tuple[str, str]
"""What can stand there, and what it is; the latter may be empty."""


class Line(NamedTuple):
    """The words before the cursor, without the name of the command, and what is there of the word that it is in."""

    words: Sequence[str]
    begun: str


def completion(environ: Mapping[str, str]) -> str | None:
    """The answer to the shell that asks by these variables; `None` for one that is not known here."""
    shell = environ.get(INSTRUCTION, "").removeprefix("complete_")
    if shell == "bash":
        line = bash_line(environ.get("COMP_WORDS", ""), environ.get("COMP_CWORD", ""))
        return "\n".join(value for value, _ in candidates(line, environ))
    if shell not in ("zsh", "fish"):
        return None
    line = typed_line(environ.get("_TYPER_COMPLETE_ARGS", ""))
    found = candidates(line, environ)
    if shell == "fish":
        return "\n".join(f"{value}\t{told}" if told else value for value, told in found)
    if not found:
        return "_files"
    listed = "\n".join(
        f'"{_in_zsh(value)}":"{_in_zsh(told)}"' if told else f'"{_in_zsh(value)}"' for value, told in found
    )
    return f"_arguments '*: :(({listed}))'"


def bash_line(words: str, cursor: str) -> Line:
    """The line of bash: its words, one a line, and the number of the one that the cursor is in."""
    number = int(cursor) if cursor.isdecimal() else 0
    split = [_unquoted(word) for word in words.split("\n")]
    begun = split[number] if number < len(split) else ""
    glued: list[str] = []
    follows = False
    for word in split[1:number]:
        if (word in _GLUE or follows) and glued:
            glued[-1] += word
        else:
            glued.append(word)
        follows = word in _GLUE
    if begun == "=" or follows:  # what is completed is what stands behind it
        option = glued.pop().removesuffix("=") if follows and glued else (glued.pop() if glued else "")
        return Line([*glued, option], "" if begun == "=" else begun)
    return Line(glued, begun)


def typed_line(text: str) -> Line:
    """The line of zsh and fish: a text that ends where the cursor is."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # a quote that is still open
        words.append(lexer.token.lstrip("'\""))
    words = words[1:]
    if not words or text[-1:].isspace():
        return Line(words, "")
    return Line(words[:-1], words[-1])


def candidates(line: Line, environ: Mapping[str, str]) -> list[Candidate]:
    """What can stand at the cursor; nothing where a file or a free text does."""
    node: Mapping[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    position = 0
    value_of: Mapping[str, Any] | None = None
    only_arguments = False
    for word in line.words:
        if value_of is not None:
            value_of = None
        elif word == "--":
            only_arguments = True
        elif word.startswith("-") and not only_arguments:
            option = _option(node, word)
            value_of = option if option is not None and option["takes_value"] else None
        elif word in node.get("commands", {}):
            node, position = node["commands"][word], 0
        else:
            position += 1
    name, equals, begun = line.begun.partition("=")
    if value_of is None and equals and (option := _option(node, name)) is not None and not only_arguments:
        return [(f"{name}={value}", told) for value, told in _values(option, begun, line.words, environ)]
    if value_of is not None:
        return _values(value_of, line.begun, line.words, environ)
    if line.begun.startswith("-") and not only_arguments:
        return _beginning(line.begun, ((name, one["help"]) for one in node["options"] for name in one["names"]))
    if "commands" in node:
        return _beginning(line.begun, ((name, one["help"]) for name, one in node["commands"].items()))
    arguments = node["arguments"]
    if not arguments or (position >= len(arguments) and not arguments[-1]["repeats"]):
        return []
    return _values(arguments[min(position, len(arguments) - 1)], line.begun, line.words, environ)


def _option(node: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((one for one in node["options"] if name in one["names"]), None)


def _values(
    parameter: Mapping[str, Any], begun: str, words: Sequence[str], environ: Mapping[str, str]
) -> list[Candidate]:
    known: Sequence[str] = parameter["values"]
    if parameter["known"]:
        from extauthz.cli.completion.names import names_of  # it takes its time, and few need it

        known = names_of(parameter["known"], words, environ)
    return _beginning(begun, ((value, "") for value in known))


def _beginning(begun: str, known: Iterable[Candidate]) -> list[Candidate]:
    return [one for one in known if one[0].startswith(begun)]


def _unquoted(word: str) -> str:
    try:
        return "".join(shlex.split(word))
    except ValueError:
        return word.lstrip("'\"")


def _in_zsh(text: str) -> str:
    doubled = text.replace("\\", "\\\\").replace('"', '""').replace("'", "''")
    return doubled.replace("$", "\\$").replace("`", "\\`").replace(":", "\\\\:")
