"""Names that only this deployment knows: rules of its policies, approvals of its store.

The rules: files are read, and nothing is written; nobody is asked over a network; what can't be read has no names.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml

from extauthz.files import open_file

_CONFIG: Final = "--config"
_MOST_FILES: Final = 200
_MOST_IDS: Final = 50


def names_of(what: str, words: Sequence[str], environ: Mapping[str, str]) -> Sequence[str]:
    """The names of what is meant, under the configuration that the line or the environment names."""
    try:
        match what:
            case "rule":
                return sorted(set(_rules(_configuration(words, environ))))
            case "approval":
                return tuple(_approvals(_configuration(words, environ)))
            case _:
                return ()
    except (OSError, ValueError, yaml.YAMLError, sqlite3.Error):
        return ()


def _configuration(words: Sequence[str], environ: Mapping[str, str]) -> Path:
    named = (
        words[words.index(_CONFIG) + 1] if _CONFIG in words[:-1] else environ.get("EXTAUTHZ_CONFIG", "extauthz.yaml")
    )
    return Path(named)


def _read(file: Path) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with open_file(file) as stream:
        yield from yaml.load_all(stream.read(), Loader=loader)


def _known(file: Path) -> Mapping[str, Any]:
    found = next(_read(file), None)
    return found if isinstance(found, dict) else {}


def _rules(config: Path) -> Iterator[str]:
    named = _known(config).get("policies")
    for one in named if isinstance(named, list) else ():
        place = config.parent / str(one)
        files = sorted(place.rglob("*.y*ml")) if place.is_dir() else [place]
        for file in islice(files, _MOST_FILES):
            yield from _rules_in(file)


def _rules_in(file: Path) -> Iterator[str]:
    for document in _read(file):
        match document:
            case {"kind": "Policy", "metadata": {"name": str(policy)}, "spec": {"rules": [*rules]}}:
                yield from (f"{policy}/{rule['name']}" for rule in rules if isinstance(rule, dict) and "name" in rule)
            case _:
                continue


def _approvals(config: Path) -> Iterator[str]:
    store = str(_known(config).get("store", "sqlite:///extauthz.db"))
    if not store.startswith("sqlite:///"):
        return
    file = (config.parent / store.removeprefix("sqlite:///")).resolve(strict=True)
    connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=0.1)
    try:
        rows = connection.execute("SELECT id FROM approvals ORDER BY opened_at DESC LIMIT ?", (_MOST_IDS,))
        yield from (id_ for (id_,) in rows)
    finally:
        connection.close()
