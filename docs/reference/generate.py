# ruff: noqa: E501, INP001, T201 (a script beside the pages that it writes, with their sentences)
"""Writes the pages of the reference from the code: `make reference`, or `python docs/reference/generate.py [--check]`.

With `--check` nothing is written: pages that are not as the code says are named, and the exit code is 1.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from extauthz import cel
from extauthz.cel.library import standard
from extauthz.cel.macros import MACROS
from extauthz.policy.context import NAMES
from extauthz.policy.functions import functions_of
from extauthz.policy.schema import json_schema
from extauthz.settings.schema import json_schema as settings_schema
from extauthz.web import approval_openapi, openapi

FOLDER: Final = Path(__file__).resolve().parent
NOTE: Final = "<!-- Written by docs/reference/generate.py from the code; change that, and run `make reference`. -->\n"
_KINDS: Final = {"100MB": "size", "10/min": "rate", "08:30": "time of day"}
"""What texts are called, by the example that the schema has of them."""
_OPERATORS: Final = {"@in": "_ in _", "@not_strictly_false": "@not_strictly_false(_)"}

Schema = Mapping[str, Any]


class Blocks:
    """A JSON Schema as tables: one for each block, in the order in which they are met, each once."""

    def __init__(self, whole: Schema, *, settings: bool) -> None:
        """Of the configuration if they are `settings`: a variable then overrides each key."""
        self._defs: Schema = whole["$defs"]
        self._settings = settings
        self._titles: dict[str, str] = {}
        self._shown: set[str] = set()

    def pages(self, block: Schema, path: str, *, title: str, titles: Mapping[str, str] | None = None) -> str:
        """The block at `path` ("" for the root), and then those within it that no page before has.

        `titles` are those of blocks within it, by name, that are not called by their places.
        """
        self._title(block, path)
        self._titles |= titles or {}
        return "".join(self._tables(block, path, title=title))

    def _title(self, block: Schema, path: str) -> None:
        for key, field in block["properties"].items():
            for name, place in self._within(field, f"{path}.{key}" if path else key):
                if name not in self._titles:
                    self._titles[name] = f"`{place}`{self._which(name, field)}"
                    self._title(self._defs[name], place)

    def _tables(self, block: Schema, path: str, *, title: str) -> Iterator[str]:
        yield f"\n## {title}\n\n"
        yield _paragraphs(block.get("description", ""))
        if self._settings and _has_variables(path):
            keys, some = "".join(f"{name}__" for name in _names(path)), next(iter(block["properties"]))
            yield f"Variables: `EXTAUTHZ_{keys}` and the key in capitals, as `EXTAUTHZ_{keys}{some.upper()}`.\n\n"
        columns = (
            ("key", "type", "default", "what it does") if self._settings else ("field", "type", "default", "what it is")
        )
        yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
        for key, field in block["properties"].items():
            yield self._row(block, key, field)
        for key, field in block["properties"].items():
            for name, place in self._within(field, f"{path}.{key}" if path else key):
                if name not in self._shown:
                    self._shown.add(name)
                    yield from self._tables(self._defs[name], place, title=self._titles[name])

    def _which(self, name: str, field: Schema) -> str:
        """Which of several blocks that may stand in one place."""
        return f": {_words(name)}" if len(list(self._within(field, ""))) > 1 else ""

    def _row(self, block: Schema, key: str, field: Schema) -> str:
        default = "required" if key in block.get("required", ()) else self._default(field)
        cells = [f"`{key}`", self._kind(field), default, field["description"]]
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"

    def _default(self, field: Schema) -> str:
        value = field.get("default")
        if isinstance(value, Mapping) and "$ref" in field:
            return "below"
        if value is None or value in ([], {}, ""):
            return ""
        if isinstance(value, list):
            return f"`[{', '.join(map(str, value))}]`"
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"

    def _kind(self, field: Schema) -> str:
        match field:
            case {"$ref": str(ref)}:
                name = ref.rpartition("/")[2]
                if "properties" in self._defs[name]:
                    return f"[block](#{_anchor(self._titles[name])})"
                return self._kind(self._defs[name])
            case {"anyOf": list(several)} | {"oneOf": list(several)}:
                kinds = [self._kind(one) for one in several if one.get("type") != "null"]
                return " or ".join(dict.fromkeys(kinds))
            case {"enum": list(words)}:
                return ", ".join(f"`{word}`" for word in words)
            case {"const": word}:
                return f"`{word}`"
            case {"type": "array", "items": dict(items)}:
                kind = self._kind(items)
                return f"list of {kind}"
            case {"type": "object", "additionalProperties": dict(values)}:
                return f"mapping to {self._kind(values)}"
            case {"type": "object", "patternProperties": dict(several)}:
                return f"mapping to {self._kind(next(iter(several.values())))}"
            case {"type": "string"}:
                return _kind_of_text(field)
            case {"type": str(name)}:
                return {"boolean": "true, false", "integer": "whole number", "object": "mapping"}.get(name, name)
            case _:
                return "any"

    def _within(self, field: Schema, place: str) -> Iterator[tuple[str, str]]:
        """The blocks that may stand in a field, by name, and where."""
        match field:
            case {"$ref": str(ref)}:
                name = ref.rpartition("/")[2]
                if "properties" in self._defs[name]:
                    yield name, place
                else:
                    yield from self._within(self._defs[name], place)
            case {"anyOf": list(several)} | {"oneOf": list(several)}:
                for one in several:
                    yield from self._within(one, place)
            case {"type": "array", "items": dict(items)}:
                yield from self._within(items, f"{place}[]")
            case {"type": "object", "additionalProperties": dict(values)}:
                yield from self._within(values, f"{place}.NAME")
            case {"type": "object", "patternProperties": dict(several)}:
                for values in several.values():
                    yield from self._within(values, f"{place}.NAME")


def _kind_of_text(field: Schema) -> str:
    example = next(iter(field.get("examples", ())), None)
    if example in _KINDS:
        return _KINDS[example]
    if field.get("format") in ("path", "file-path"):
        return "file"
    return "duration" if "(?:ms|s|m|h|d)" in field.get("pattern", "") else "text"


def _names(path: str) -> Sequence[str]:
    """The keys on the way to a block, in capitals."""
    return path.upper().split(".") if path else ()


def _has_variables(path: str) -> bool:
    """Whether no list or mapping is on the way."""
    return "[" not in path and "NAME" not in path


def _anchor(title: str) -> str:
    """By which a heading is reached, here and in the repository."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _words(name: str) -> str:
    """`JwtSource` as "jwt source"."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name.rpartition("__")[2])
    return spaced.removesuffix(" settings").removesuffix(" model").strip()


def _paragraphs(text: str) -> str:
    """A docstring as Markdown: paragraphs are kept, the breaks within them are not."""
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    return "".join(f"{part}\n\n" for part in parts if part)


def configuration() -> str:
    """Every block and key of `extauthz.yaml`."""
    whole = settings_schema()
    blocks = Blocks(whole, settings=True)
    root = {**whole, "description": ""}
    return (
        "# Configuration keys\n\n"
        "Every key of `extauthz.yaml`, and the environment variables that override them. [Running extauthz](../operations.md)\n"
        "explains the file as a whole. Where no variables are named, the block is within a list or a mapping, which is written as\n"
        "JSON into the variable of what it is within. `[]` is each item of a list, `NAME` a name of your own. Files are relative to\n"
        "the folder of `extauthz.yaml`; durations have a unit (`500ms`, `90s`, `5m`, `1h30m`, `2d`), and so have sizes (`100MB`).\n"
        + blocks.pages(root, "", title="The file")
    )


def documents() -> str:
    """Every field of the documents that policies are written in."""
    whole = json_schema()
    blocks = Blocks(whole, settings=False)
    text = (
        "# Fields of policy documents\n\n"
        "Every field of every kind of document, as `extauthz policy schema` has them for editors. How they work together is on the pages on\n"
        "[policies](../policies.md), [risk models](../risk.md), [definitions](../context.md) and [tests](../testing-policies.md).\n"
        "`[]` is each item of a list, `NAME` a name of your own; durations have a unit (`500ms`, `90s`, `5m`, `1h30m`, `2d`).\n"
    )
    for document in whole["oneOf"]:
        kind = f"`kind: {document['properties']['kind']['const']}`"
        spec = document["properties"]["spec"]["$ref"].rpartition("/")[2]
        text += blocks.pages(document, "", title=kind, titles={spec: f"{kind}: `spec`"})
    return text


def expressions() -> str:
    """Every name, function and macro that a condition may use."""
    text = (
        "# Names and functions of conditions\n\n"
        "What an expression may read, and what it may call. [The CEL library](../cel.md) says what is particular about it,\n"
        "[policies](../policies.md) what the names mean. Types are those of CEL; of a structure, a field may be absent unless it says\n"
        "otherwise.\n\n## Names\n\n| name | type |\n|---|---|\n"
    )
    for name, kind in sorted(NAMES.items()):
        if isinstance(kind, cel.StructType):
            for field, said in kind.fields.items():
                text += f"| `{name}.{field}` | `{_kind(said.type)}`{'' if said.optional else ', never absent'} |\n"
        else:
            text += f"| `{name}` | `{_kind(kind)}` |\n"
    text += (
        "| `variables.NAME` | as the policy's `variables` say |\n| `definitions.NAME` | as `kind: Definitions` says |\n"
        "\n## Functions of extauthz\n\n"
        '`within(now, "WINDOW")` and `listed("LIST", ADDRESS)` are [explained here](../context.md); what follows is\n'
        "[here](../habits.md).\n\n| call | result |\n|---|---|\n"
    )
    for function in sorted(functions_of(""), key=lambda one: one.name):
        text += "".join(_call(function.name, one) for one in function.overloads)
    text += "\n## Functions of CEL\n\n| call | result |\n|---|---|\n"
    table = standard(cel.Limits(), nan_ordering_is_error=True)
    for name in sorted(table, key=lambda one: (not one[0].isalpha(), one.lower())):
        text += "".join(_call(name, one) for one in table[name])
    text += "\n## Macros\n\n`has(e.f)`, `cel.bind(name, value, expression)`, and of a value `e`:\n\n| macro | arguments |\n|---|---|\n"
    for name, count in sorted(MACROS):
        text += f"| `e.{name}(…)` | {count} |\n"
    return text


def _call(name: str, overload: cel.Overload) -> str:
    kinds = [_kind(one) for one in overload.args]
    if overload.member:
        said = f"{kinds[0]}.{name}({', '.join(kinds[1:])})"
    elif name in _OPERATORS or "_" in name[:2]:
        parts = _OPERATORS.get(name, name).split("_")
        said = "".join(part + kind for part, kind in zip(parts, [*kinds, ""], strict=False))
        said = (
            re.sub(r"(?<=\S)(\+|-|\*|/|%|==|!=|<=?|>=?|&&|\|\||\?|:)(?=\S)", r" \1 ", said) if len(kinds) > 1 else said
        )
    else:
        said = f"{name}({', '.join(kinds)})"
    return f"| `{said}` | `{_kind(overload.result)}` |\n".replace("||", r"\|\|")


def _kind(kind: object) -> str:
    return str(kind).replace("google.protobuf.Timestamp", "timestamp").replace("google.protobuf.Duration", "duration")


def interfaces() -> str:
    """The calls of the HTTP APIs."""
    text = (
        "# HTTP APIs\n\n"
        "Both describe themselves as OpenAPI 3.1: `GET /openapi.json`, without a token. gRPC has the same for approvals\n"
        "([approvals.proto](../../proto/extauthz/v1/approvals.proto)); [attribute sources](../attributes.md) speak\n"
        "[attributes.proto](../../proto/extauthz/v1/attributes.proto).\n"
    )
    places = (
        (approval_openapi.OPENAPI, "`listen.approvals`", "[Answering approvals](../approvals-api.md)"),
        (openapi.OPENAPI, "`listen.admin`", "[Blocking and revoking](../signals.md)"),
    )
    for described, address, page in places:
        info = described["info"]
        text += f"\n## {info['title']}\n\n{_paragraphs(info['description'])}On {address}; {page} explains it.\n\n"
        text += "| call | what | answers |\n|---|---|---|\n"
        for path, calls in described["paths"].items():
            for method, call in calls.items():
                if method in ("get", "post", "put", "delete"):
                    codes = ", ".join(call["responses"])
                    text += f"| `{method.upper()} {path}` | {call['summary']} | {codes} |\n"
    return text


PAGES: Final = {
    "configuration.md": configuration,
    "policy-fields.md": documents,
    "expressions.md": expressions,
    "http.md": interfaces,
}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or, with `--check`, say which are not current."""
    stale = []
    for name, made in PAGES.items():
        path, text = FOLDER / name, f"{made().rstrip()}\n\n{NOTE}"
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text, "utf-8")
    if "--check" in arguments and stale:
        print(f"not as the code says: {', '.join(stale)}; run `make reference`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
