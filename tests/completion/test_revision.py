"""`extauthz --version` tells the revision: of a checkout, of what a wheel was built from; and nothing where nobody
knows."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from extauthz import __version__
from extauthz.app.compiled import LIBRARY
from extauthz.cli.revision import TOLD, revision

ROOT = Path(__file__).parents[2]
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", "-C", str(folder), *IDENTITY, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with all that a build needs of this one."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    project = folder / "pyproject.toml"
    project.write_text(re.sub(r"(?s)compiled = \[.*?\]", "compiled = []", project.read_text(), count=1))
    shutil.copytree(ROOT / "docs" / "man", folder / "docs" / "man")
    shutil.copytree(
        ROOT / "extauthz" / "cli", folder / "extauthz" / "cli", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "extauthz" / "__init__.py", folder / "extauthz")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def build(folder: Path, kind: str, **environ: str) -> Path:
    out = folder / "dist"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind],
        cwd=folder, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environ},
    )  # fmt: skip
    (built,) = out.iterdir()
    return built


def told_by(wheel: Path) -> str | None:
    with zipfile.ZipFile(wheel) as packed:
        assert any(name.endswith("/share/man/man1/extauthz.1") for name in packed.namelist())
        name = f"extauthz/{TOLD}"
        return packed.read(name).decode().strip() if name in packed.namelist() else None


def test_a_checkout_tells_its_revision_and_whether_it_was_changed(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert revision(checkout / "extauthz") == head
    (checkout / "README.md").write_text("changed")
    assert revision(checkout / "extauthz") == f"{head}+changed"


def test_a_wheel_tells_what_it_was_built_from(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert told_by(build(checkout, "wheel")) == head
    assert git(checkout, "status", "--porcelain", "--untracked-files=no") == ""
    assert told_by(build(checkout, "wheel", EXTAUTHZ_REVISION="of-the-image")) == "of-the-image"


def test_a_wheel_from_an_archive_tells_what_the_archive_was_built_from(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "--short=12", "HEAD")
    shutil.unpack_archive(build(checkout, "sdist"), tmp_path / "unpacked")
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert told_by(build(folder, "wheel")) == head
    assert revision(folder / "extauthz") == head


def test_outside_of_a_repository_nothing_is_told(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert told_by(build(checkout, "wheel")) is None
    assert revision(checkout / "extauthz") is None


@pytest.mark.parametrize("broken", ["empty", "no commit", "no git"])
def test_it_never_fails(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "extauthz").mkdir()
    if broken == "empty":
        (tmp_path / ".git").mkdir()
    else:
        git(tmp_path, "init", "-q")
    if broken == "no git":
        monkeypatch.setenv("PATH", "")
    assert revision(tmp_path / "extauthz") is None


@pytest.mark.parametrize("compiled", [True, False])
def test_the_command_says_version_and_revision_and_whether_it_is_compiled(compiled: bool, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "extauthz", tmp_path / "extauthz", ignore=shutil.ignore_patterns("__pycache__", "*.so", "_compiled.txt")
    )
    (tmp_path / "extauthz" / TOLD).write_text("0123456789ab\n")
    if compiled:
        (tmp_path / f"{LIBRARY}{EXTENSION_SUFFIXES[0]}").touch()
    (tmp_path / f"{LIBRARY}.cpython-31-of-another-python.so").touch()
    ran = subprocess.run(
        [sys.executable, "-m", "extauthz", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    said = "compiled" if compiled else "not compiled"
    assert ran.stdout == f"extauthz {__version__} (revision 0123456789ab, {said})\n"
