"""What is wrong with a document, where, and how to mend it: for policies and for the settings file alike.

Every problem of a load is told at once; each is one line, `place: what; hint`, with a picture of the place below it.
"""

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from extauthz.errors import ExtauthzError

Path = tuple[str | int, ...]
"""The way from a document's root to a value: keys and numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error: 1-based `line` and `column` in `file` (0: the file as a whole), and the source line if known."""

    file: str
    line: int = 0
    column: int = 0
    message: str
    hint: str = ""
    source_line: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return _printable(f"{place}: {self.message}" + (f"; {self.hint}" if self.hint else ""))

    def picture(self) -> str:
        """The line of `str()`, and under it the source line with a caret below the place."""
        if not self.source_line:
            return str(self)
        before = max(0, self.column - 1 - _LEFT)
        shown = self.source_line[before : self.column - 1 + _RIGHT]
        indent = "".join(c if c == "\t" else " " for c in self.source_line[before : self.column - 1])
        gutter = f"{self.line:>5} | "
        return f"{self}\n{gutter}{_printable(shown)}\n{' ' * (len(gutter) - 2)}| {indent}^"


def _printable(text: str) -> str:
    """What a document says can't move a terminal's cursor or break an encoder."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


_LONGEST_WORD = 100  # to compare is quadratic in a word's length
_LEFT, _RIGHT = 100, 60  # characters of a long source line that a picture shows around the place


class PolicyErrors(ExtauthzError):
    """Documents that can't be used; `problems` holds every one, by file, line and column."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.file, p.line, p.column, p.message)))
        super().__init__("\n".join(map(str, self.problems)))

    def render(self) -> str:
        """All problems with their pictures, for a terminal."""
        return "\n".join(problem.picture() for problem in self.problems)


class Placed(Protocol):
    """What knows where its values stand: `yaml_source.Document`."""

    @property
    def file(self) -> str: ...

    def place(self, path: Path) -> tuple[int, int]: ...

    def key_place(self, path: Path) -> tuple[int, int]: ...

    def source_line(self, line: int) -> str: ...


def problem_at(document: Placed, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
    """A problem at the value under `path`, or at its key."""
    line, column = document.key_place(path) if key else document.place(path)
    return Problem(
        file=document.file,
        line=line,
        column=column,
        message=message,
        hint=hint,
        source_line=document.source_line(line),
    )


def problems_of(error: ValidationError, model: type[BaseModel], document: Placed) -> list[Problem]:
    """Pydantic's errors about `document.value` read as `model`, with places, house wording and suggestions."""
    return [fault.problem for fault in faults_of(error, model, document)]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One of pydantic's errors, and what is told of it.

    `path` is pydantic's: it may hold the names of union members, and `[key]` behind a key that is meant itself; for a
    missing field it leads to where that would stand. `owner` is the model of the mapping that the last step leads into,
    where there is one. `meant` is the known field that an unknown one resembles, or empty.
    """

    kind: str
    path: Path
    owner: type[BaseModel] | None
    meant: str = ""
    problem: Problem


def faults_of(error: ValidationError, model: type[BaseModel], document: Placed) -> list[Fault]:
    """Pydantic's errors about `document.value` read as `model`, each mistake once."""
    found = [_fault(details, model, document) for details in error.errors(include_url=False) if _is_news(details)]
    meant = {(*fault.path[:-1], fault.meant) for fault in found if fault.meant}
    return [fault for fault in found if fault.kind != "missing" or fault.path not in meant]


def _is_news(details: ErrorDetails) -> bool:
    """Pydantic counts the items of a tuple that are good: a single wrong one would be told twice."""
    return details["type"] != "too_short" or not details["input"]


def _fault(details: ErrorDetails, model: type[BaseModel], document: Placed) -> Fault:
    kind, path = details["type"], details["loc"]
    owner = _model_at(model, path[:-1])
    if kind == "extra_forbidden":
        name = str(path[-1])
        meant = closest(name, () if owner is None else _field_names(owner))
        problem = problem_at(document, path, *_unknown(name, meant), key=True)
        return Fault(kind=kind, path=path, owner=owner, meant=meant, problem=problem)
    if kind == "missing":
        problem = problem_at(document, path[:-1], f"missing field `{path[-1]}`")
    else:
        message, hint = _wording(kind, details["msg"], details.get("ctx", {}), details["input"])
        if path and path[-1] == "[key]":  # pydantic's way to say that the key is meant, not its value
            problem = problem_at(document, path[:-1], message, hint, key=True)
        else:
            problem = problem_at(document, path, message, hint)
    return Fault(kind=kind, path=path, owner=owner, problem=problem)


def _unknown(name: str, meant: str) -> tuple[str, str]:
    return f"unknown field {_shown(name)}", f"did you mean `{meant}`?" if meant else ""


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like a misspelt one; empty if none is."""
    return next(iter(difflib.get_close_matches(word[:_LONGEST_WORD], list(known), n=1, cutoff=0.6)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean …?` for the closest of the known words, else an empty text."""
    close = closest(word, known)
    return f"did you mean `{close}`?" if close else ""


WRONG_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _wording(kind: str, text: str, context: Mapping[str, Any], value: object) -> tuple[str, str]:
    if kind in WRONG_TYPES:
        text = "the text " if isinstance(value, str) else ""
        return f"must be {WRONG_TYPES[kind]}, not {text}{_shown(value)}", ""
    if kind == "literal_error":
        known = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        if not isinstance(value, str):
            return f"must be one of `{'`, `'.join(known)}`, not {_shown(value)}", ""
        return f"{_shown(value)} is not one of `{'`, `'.join(known)}`", did_you_mean(value, known)
    if kind == "too_short":
        return "must not be empty", "an empty list means nothing, never everything: remove the field, or fill it"
    if kind == "value_error":
        message, _, hint = str(context["error"]).partition("; ")
        return message, hint
    if text.startswith("Input should be "):
        return "must be " + text.removeprefix("Input should be ").rstrip("."), ""
    return text[:1].lower() + text[1:].rstrip("."), ""


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"`{value if len(value) <= 60 else value[:57] + '…'}`"
    if isinstance(value, bool) or value is None:
        return {True: "`true`", False: "`false`", None: "nothing"}[value]
    if isinstance(value, int | float):
        return f"`{value}`"
    return "a list" if isinstance(value, Sequence) else "a mapping"


_Member = tuple[str, Any]
"""One of the types that a value may have, and the tag that pydantic knows it by in a union, if any."""


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model that describes the mapping at `path`, `None` where the type is no model.

    `path` is pydantic's: it may hold the names of union members. A tag says which one is meant; others are skipped.
    """
    here: list[_Member] = [("", model)]
    for step in path:
        meant = [(tag, kind) for tag, kind in here if tag and tag == step]
        here = meant or [inner for _, kind in here for inner in _step(kind, step)] or here
    models = [kind for _, kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return models[0] if len(models) == 1 else None


def _step(kind: object, step: str | int) -> list[_Member]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            if step in (name, info.alias):
                return _members(info.annotation)
        return []
    origin, arguments = get_origin(kind), get_args(kind)
    if not isinstance(origin, type) or not arguments:
        return []
    return _members(arguments[-1] if issubclass(origin, Mapping) else arguments[0])


def _members(annotation: object, tag: str = "") -> list[_Member]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _members(arguments[0], next((mark.tag for mark in arguments[1:] if isinstance(mark, Tag)), tag))
    if origin in (Union, types.UnionType):
        return [member for argument in arguments for member in _members(argument)]
    return [(tag, annotation)]


def _field_names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]
