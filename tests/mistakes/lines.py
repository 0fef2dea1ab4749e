"""Command lines as people mistype them, for every command that there is.

A command is given what it must have, and one thing is wrong: a word in the place of a number, a folder in the place of
a file, a file that is none of ours, nothing at all.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from extauthz.cli.completion.answer import TABLE

CONFIG: Final = """
policies: [p.yaml]
audit: {path: audit.jsonl}
identity: {users: [{name: idp, issuer: 'https://idp.example.com', audiences: [shop], jwks: jwks.json}]}
"""
POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: shop}
spec: {rules: [{name: read, effect: allow}]}
"""
GARBAGE: Final = bytes(range(256)) * 20
NOT_UTF8: Final = os.fsdecode(b"caf\xe9.yaml")
FILES: Final[Mapping[str, bytes]] = {
    "garbage.bin": GARBAGE,
    "empty.yaml": b"",
    "nul.yaml": b'policies: ["a\\0b"]\nkeys: "k\\0"\n',
    "null.json": b"null\n",
    "list.json": b"[1, 2]\n",
    "deep.json": b"[" * 5000,
    "object.json": b'{"keys": 7, "kty": 1, "type": null}\n',
    "torn.jsonl": b'{"kind": "decision"\n\xff\xfe\n{}\n',
    "alias.yaml": b"a: &a [*a]\n",
    "tabs.yaml": b"\tpolicies: x\n",
    "anchors.yaml": b"policies: [p.yaml]\nlisten: {grpc: 'x'}\nstore: 'nowhere:'\nkeys: [1]\n",
    NOT_UTF8: POLICY.encode(),
}
WRONG: Final = (
    *FILES,
    *("no-such-file", "folder", "p.yaml/below", "/proc/self/mem", "audit.jsonl"),
    *("", " ", "x", "-1", "0", "1e999", "nan", "a/b/c", "spiffe://", "🤷\n\x1b[31m", "w" * 5000, "\udcff", "%s{}"),
    *("http://127.0.0.1:1", "http://[", "ftp://x", "127.0.0.1:1", "unix:/no/such", "unix:", "[::1]:99999"),
    *("9999999999999999999999d", "2026-13-45", "0000-00-00T00:00"),
)
"""What is no good for most of what can be asked."""

ENDLESS: Final = {"--follow", "--watch"}
RIGHT: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("serve",): ("--config", "no-such.yaml"),
    ("quickstart",): ("--dir", "folder"),
    ("approvals", "watch"): ("--url", "http://127.0.0.1:1"),
    ("policy", "explain"): ("--policy", "p.yaml", "--request", "object.json"),
    ("policy", "replay"): ("--policy", "p.yaml", "--audit", "audit.jsonl"),
    ("policy", "discover"): ("--audit", "audit.jsonl"),
    ("policy", "test"): ("p.yaml",),
    ("policy", "check"): ("p.yaml",),
}
"""What a command is given that has options which it must have, or that would go on for ever without a mistake."""


def furnish(folder: Path) -> None:
    """Put what the lines name into a folder."""
    (folder / "folder" / "inside").mkdir(parents=True)
    (folder / "extauthz.yaml").write_text(CONFIG)
    (folder / "p.yaml").write_text(POLICY)
    (folder / "jwks.json").write_text('{"keys": []}')
    (folder / "audit.jsonl").write_text("")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def commands(
    node: Mapping[str, Any] | None = None, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no group, with what completion knows of it."""
    node = json.loads(TABLE.read_text()) if node is None else node
    if "commands" not in node:
        yield words, node
    for name, one in node.get("commands", {}).items():
        yield from commands(one, (*words, name))


def mistyped(words: tuple[str, ...], node: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Lines of a command with one mistake each, and some that have none but what is in the files."""
    right = _right(words, node)
    if words != ("approvals", "watch"):
        yield words
    yield (*words, *right)
    yield (*words, *right, "--no-such-option")
    yield (*words, *right, *("one", "too", "many") * 3)
    for option in node["options"]:
        name = option["names"][-1]
        if not option["takes_value"]:
            if name not in ENDLESS and words != ("quickstart",):
                yield (*words, *right, name)
            continue
        yield (*words, *right, name)
        for wrong in WRONG:
            yield (*words, *right, name, wrong)
    for number, one in enumerate(node["arguments"]):
        for wrong in WRONG:
            if one["repeats"]:
                yield (*words, *right[: 0 if words in RIGHT else None], wrong)
            else:
                yield (*words, *right[:number], wrong, *right[number + 1 :])


def named(file: str, words: tuple[str, ...], node: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Lines of a command that name a file in each place where one may be meant."""
    right = _right(words, node)
    for option in node["options"]:
        if option["takes_value"] and not option["values"] and (words != ("serve",) or "--config" in option["names"]):
            yield (*words, *right, option["names"][-1], file)
    for number, one in enumerate(node["arguments"]):
        yield (*words, file) if one["repeats"] else (*words, *right[:number], file, *right[number + 1 :])


def _right(words: tuple[str, ...], node: Mapping[str, Any]) -> tuple[str, ...]:
    return RIGHT.get(words, tuple("x" for one in node["arguments"] if not one["repeats"]))
