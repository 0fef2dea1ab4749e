"""What is compiled decides what its sources say: the same answers and records, byte for byte.

Two processes are asked the same in the same order, one of them by what is compiled, the other by a copy of the sources
alone.
"""

import copyreg
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from changing import fields_of
from compiled.asking import questions
from compiled.installed import ROOT, require_compiled

from extauthz.app import portable
from extauthz.values.request import HttpRequest, Peer, RequestView

TESTS = ROOT / "tests"
for view in (Peer, HttpRequest, RequestView):  # what is asked travels; nothing else sends them anywhere
    copyreg.pickle(view, lambda one: (partial(type(one), **fields_of(one)), ()))


def answered(package: Path, folder: Path) -> list[list[str]]:
    """What is answered by this package to the questions in a folder."""
    said = folder / f"answers-{package.name}"
    subprocess.run(
        [sys.executable, "-P", TESTS / "compiled" / "deciding.py", package, folder / "questions", said],
        env={**os.environ, "PYTHONPATH": f"{package}:{TESTS}", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    with said.open("rb") as stream:
        found: list[list[str]] = portable.read(stream, lambda: None)
    return found


def test_what_is_compiled_decides_as_its_sources_do(tmp_path: Path) -> None:
    require_compiled()
    package = shutil.copytree(ROOT / "extauthz", tmp_path / "sources" / "extauthz", ignore=_compiled_files)
    asked = [*questions()]
    with (tmp_path / "questions").open("wb") as stream:
        portable.write(stream, asked)
    compiled_ones, interpreted = answered(ROOT, tmp_path), answered(package.parent, tmp_path)
    assert len(compiled_ones) == len(interpreted) == len(asked)
    for question, by_compiled, by_sources in zip(asked, compiled_ones, interpreted, strict=True):
        assert by_compiled == by_sources, question


def _compiled_files(folder: str, names: list[str]) -> list[str]:
    del folder
    return [name for name in names if name.endswith((".so", ".pyd", ".pyc"))]
