"""Processes that servers start look for no garbage among what they have imported."""

import subprocess
import sys

import pytest

from extauthz.app import compiling, python_launch

FEW = 2_000
"""Objects that a process makes after its imports, before it does anything."""


@pytest.mark.parametrize("program", [python_launch._PROGRAM, compiling._PROGRAM], ids=["worker", "compiling"])
def test_what_is_imported_is_not_searched_for_garbage(program: str) -> None:
    before, main = program[: -len("main()")], program[-len("main()") :]
    assert main == "main()"
    told = "print(gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects()))"
    ran = subprocess.run([sys.executable, "-P", "-c", before + told], check=True, capture_output=True, text=True)
    enabled, frozen, searched = ran.stdout.split()
    assert enabled == "True"
    assert int(frozen) > 10 * FEW
    assert int(searched) < FEW
