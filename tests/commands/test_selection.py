"""What `make test` leaves out, as it takes long, .ci/run runs all the same."""

import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARKED = "not long", "long"
"""One of them selects what the other one leaves out."""


def selected(target: str) -> list[str]:
    """By which marks this target of make selects tests, for each call of pytest."""
    words = ("make", "--dry-run", "--no-print-directory", "--old-file=install", "--old-file=tests/__pycache__", target)
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    calls = [shlex.split(line) for line in told.splitlines() if line.startswith(".venv/bin/pytest ")]
    return [call[call.index("-m") + 1] for call in calls]


def test_before_a_change_lands_long_tests_are_run_and_all_others() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    targets = [target for line in lines if line.startswith("make ") for target in line.split()[1:]]
    assert [marks for target in targets if target.startswith("test") for marks in selected(target)] == list(MARKED)
