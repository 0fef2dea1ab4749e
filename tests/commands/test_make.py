"""What `make` does for those who work on the project: one environment, and a word where there is no test."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDS = """
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{wheel_directory}/extauthz-1-py3-none-any.whl", "w") as wheel:
        told = "extauthz-1.dist-info"
        wheel.writestr(f"{told}/METADATA", "Metadata-Version: 2.1\\nName: extauthz\\nVersion: 1\\n")
        wheel.writestr(f"{told}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{told}/RECORD", "")
    return "extauthz-1-py3-none-any.whl"
"""


@pytest.mark.timeout(600)
def test_two_that_install_at_once_make_one_environment(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    for name in ("Makefile", ".ci/alone.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "builds"\nbackend-path = ["."]\n'
        '[project]\nname = "extauthz"\nversion = "1"\n',
        "requirements.lock": "",
        "builds.py": BUILDS,
        "hatch_build.py": "import importlib.metadata\nprint('installed', importlib.metadata.version('extauthz'))\n",
    }.items():
        (tmp_path / name).write_text(text)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PIP_"))}

    def installing() -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["make", "install", f"PYTHON={sys.executable}"],
            cwd=tmp_path, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    first = installing()
    until = time.monotonic() + 60
    while not (tmp_path / ".venv").exists():
        assert time.monotonic() < until
        assert first.poll() is None
        time.sleep(0.01)
    second = installing()
    begun, waited = first.communicate()[0], second.communicate()[0]
    assert (first.returncode, second.returncode) == (0, 0), begun + waited
    assert begun.count("-m venv") == 1
    assert begun.endswith("installed 1\n")
    assert waited.startswith("waiting for another one that installs here\n")
    assert waited.endswith("installed 1\n")
    assert "-m venv" not in waited


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("--numprocesses=1", "wrong"), "there is no file or folder `wrong`"),
        (("tests/wire/test_wire_host.py", "-k", "none_such"), "`tests/wire/test_wire_host.py -k none_such` names none"),
    ],
)
def test_where_no_test_is_found_it_is_said_why(named: tuple[str, ...], said: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *named], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("no test was found: "))
    assert line.startswith(f"no test was found: {said}; name ")
