"""A command in the process of the tests, for those that run many of them.

Rule kept here: it goes through the same `main` as in a process of its own, with all that it says of errors. What is the
process's own, signals and terminals and imports, is tested with one.
"""

import gc
import os
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import pytest

from extauthz.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str, folder: Path, environ: Mapping[str, str] | None = None) -> Ended:
    """`extauthz` with these arguments, run in `folder` to its end. An error that it does not tell is raised.

    `environ`: its whole environment; otherwise it has that of the tests. Nobody is there to answer what it asks.
    """
    with (
        chdir(folder),
        Path(os.devnull).open() as nobody,
        patch.object(sys, "stdin", nobody),
        patch.dict(os.environ, os.environ if environ is None else environ, clear=environ is not None),
        patch.object(sys, "argv", ["extauthz", *arguments]),
        patch.object(gc, "freeze"),  # this process goes on: what tests leave behind is still to be found
        redirect_stdout(_captured()) as out,
        redirect_stderr(_captured()) as err,
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Ended(returncode=int(ended.value.code or 0), stdout=_text(out), stderr=_text(err))


def _captured() -> "TextIOWrapper[BytesIO]":
    """A stream that takes text and bytes, as those of a process do."""
    return TextIOWrapper(BytesIO(), encoding="utf-8", newline="", write_through=True)


def _text(stream: "TextIOWrapper[BytesIO]") -> str:
    return stream.buffer.getvalue().decode()
