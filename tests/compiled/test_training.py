"""The training, by which gcc learns what is usual: it passes, and goes through all that is compiled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compiled.installed import ROOT

import hatch_build
import hatch_training

WITH_STEPS = {module for module in hatch_build.compiled_modules(ROOT) if "def " in (ROOT / module).read_text()}
UNTRAINED = {"extauthz/record/journal.py", "extauthz/record/sampled.py", "extauthz/transport/early_messages.py"}
"""What other threads than the one that is trained do, that of the journal, and gRPC's own; and what makes nothing
but at its import, unless a trace has a state."""
LOOK = """
import sys
import hatch_training

entered = set()
sys.setprofile(lambda frame, event, _: entered.add(frame.f_code.co_filename) if event == "call" else None)
hatch_training.main()
sys.setprofile(None)
print(*entered, sep="\\n")
"""


@pytest.fixture
def interpreted(tmp_path: Path) -> Path:
    """The package without what is compiled of it, and its training."""
    shutil.copytree(ROOT / "extauthz", tmp_path / "extauthz", ignore=shutil.ignore_patterns("*.so"))
    shutil.copy(ROOT / hatch_build.TRAINING, tmp_path)
    return tmp_path


def test_it_goes_through_every_module_that_is_compiled(interpreted: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", LOOK], cwd=interpreted, check=True, capture_output=True, text=True)
    entered = {
        str(Path(file).relative_to(interpreted)) for file in ran.stdout.split() if file.startswith(f"{interpreted}/")
    }
    assert WITH_STEPS - entered == UNTRAINED, f"{hatch_build.TRAINING} has nothing decided that goes through these"


def test_the_same_is_asked_each_time() -> None:
    first, second = hatch_training.Cases(), hatch_training.Cases()
    assert first.jwks == second.jwks
    assert [*first.of_round(0), *first.of_round(1)] == [*second.of_round(0), *second.of_round(1)]


def test_an_answer_that_is_not_expected_ends_it(interpreted: Path) -> None:
    training = interpreted / hatch_build.TRAINING
    training.write_text(training.read_text().replace("/public/**", "/elsewhere/**"))
    ran = subprocess.run([sys.executable, training.name], cwd=interpreted, check=False, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "AssertionError" in ran.stderr
