"""The scripts beside this package, each as a user runs it: what it writes, and the targets that it says it missed."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness.cores import pinned
from bench.harness.figures import Figure, Report, measured
from bench.harness.setting import Part, Setting

FOLDER: Final = Path(__file__).parents[1]
_MISSED: Final = "missed: "


def read_figures(tree: object, path: tuple[str, ...] = ()) -> Iterator[Figure]:
    """Each number in a JSON value as a figure, named by its keys; items of lists by their `name`, or their place."""
    if isinstance(tree, bool):
        return
    if isinstance(tree, (int, float)):
        yield measured(", ".join(path), "", [tree])
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from read_figures(value, (*path, key))
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            name = value.get("name", place) if isinstance(value, dict) else place
            yield from read_figures(value, (*path, str(name)))


def read_missed(output: str, code: int) -> list[str]:
    """The targets that a script says it missed; how it ended, if that was badly without a word of them."""
    missed = [line.removeprefix(_MISSED) for line in output.splitlines() if line.startswith(_MISSED)]
    if code and not missed:
        return [f"it ended with {code}: {output.strip().rpartition(chr(10))[2]}"]
    return missed


def _measure(setting: Setting, *, part: str, title: str, names: Sequence[str], pins_itself: bool) -> Report:
    figures: list[Figure] = []
    missed: list[str] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder, pinned(None if pins_itself else setting.cores.server):
            written = Path(folder) / "figures.json"
            command = [sys.executable, str(FOLDER / f"{name}.py"), "--check", "--json", str(written)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if written.exists():
                figures += read_figures(json.loads(written.read_text()), (name,))
        missed += [f"{name}: {line}" for line in read_missed(ended.stdout + ended.stderr, ended.returncode)]
    return Report(part=part, title=title, figures=tuple(figures), missed=tuple(missed))


def _part(part: str, title: str, names: Sequence[str], *, pins_itself: bool = False) -> Part:
    measure = partial(_measure, part=part, title=title, names=names, pins_itself=pins_itself)
    return Part(name=part, title=title, targets=tuple(f"bench/{name}.py" for name in names), measure=measure)


DECIDE: Final = _part("decide", "A decision in process, bytes to bytes, on one core", ["check"])
RECORDS: Final = _part(
    "records", "What records cost a decision, in process, on one core", ["records"], pins_itself=True
)
PIECES: Final = _part(
    "pieces",
    "The pieces: bench/*.py",
    ["cel", "identity", "policy", "risk", "wire", "worst", "state", "replay", "reload", "decisions"],
)
