"""What is installed is what the locks name, byte for byte; and silence about vulnerabilities is no good news."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = (ROOT / "requirements.lock", *sorted((ROOT / "deploy").rglob("*.lock")))
SCRIPTS: Final = (ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "Dockerfile")
_REQUIREMENT: Final = re.compile(
    r"^[a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,_-]+\])?==[^ ;]+(?: ;[^\\]+)? \\\n"
    r"((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)
_OURS: Final = re.compile(r"--no-deps\b")


def requirements(lock: Path) -> Iterator[str]:
    """The requirements of a lock, each with all of its lines."""
    lines = [line for line in lock.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#")]
    found = ""
    for line in lines:
        if line.strip() and not line.startswith(" ") and found:
            yield found
            found = ""
        found += line if line.strip() else ""
    yield found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_of_every_lock_has_hashes(lock: Path) -> None:
    found = list(requirements(lock))
    assert len(found) > 1
    assert [one.partition("\n")[0] for one in found if _REQUIREMENT.fullmatch(one) is None] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_nothing_is_installed_but_what_a_lock_names(script: Path) -> None:
    """By pip with hashes, by npm from its lock; what has no hashes is this package itself, without dependencies."""
    text = script.read_text().replace("\\\n", " ")
    commands = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    by_pip = [
        line for line in commands if re.search(r"\bpip3?\b.* install\b|\buv (?:pip|add|tool)\b.*\binstall\b", line)
    ]
    assert [line for line in by_pip if "--require-hashes" not in line and not _OURS.search(line)] == []
    assert [line for line in commands if re.search(r"\bnpm (?:install|i|add)\b|\bnpx\b|\bcurl\b|\bwget\b", line)] == []


def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD: Final[dict[str, Any]] = {"name": "one", "version": "1.0", "vulns": []}
FLAW: Final[dict[str, Any]] = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"]}
UNKNOWN: Final[dict[str, Any]] = {"name": "two", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "last"),
    [
        ([GOOD], 0, "audit: 0 vulnerabilities in 1 packages"),
        ([GOOD, {**GOOD, "vulns": [FLAW]}], 1, "audit: 1 vulnerabilities in 2 packages"),
        ([GOOD, UNKNOWN], 2, "audit: the package index knows no advisories for 1 of 2 packages (`two` first)"),
        ([{**GOOD, "vulns": [FLAW]}, UNKNOWN], 1, "audit: the package index knows no advisories for 1 of 2 packages"),
        ([], 2, "audit: 0 vulnerabilities in 0 packages"),
    ],
)
def test_silence_is_no_good_news(dependencies: list[dict[str, Any]], code: int, last: str) -> None:
    lines, found = audit().told(dependencies)
    assert found == code
    assert lines[-1].startswith(last)
    assert ("one 1.0: PYSEC-2026-1 (CVE-2026-1); take 1.1" in lines) == (code == 1)


def test_without_an_index_the_audit_ends_with_a_line(tmp_path: Path) -> None:
    """The real command, with a tool in the place of pip-audit that says what that says without a network."""
    (tmp_path / "pip_audit.py").write_text("import sys; sys.exit('ConnectionError: nobody there')")
    ended = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout.startswith("audit: the package index gave no advisories: ConnectionError: nobody there; try")
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
