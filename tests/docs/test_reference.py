"""The reference is what the code says."""

import subprocess
import sys

from docs.conftest import ROOT


def test_the_reference_is_as_the_code_says() -> None:
    command = [sys.executable, "docs/reference/generate.py", "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
