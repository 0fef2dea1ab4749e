"""What is built of a checkout, with a compiler and without, and of its archive."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from deploy.images import wheel_stage
from deploy.namespaces import require_namespaces
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

import hatch_build
from extauthz.app.compiled import LIBRARY

ROOT = Path(__file__).parents[2]
MODULES = hatch_build.compiled_modules(ROOT)
pytestmark = pytest.mark.timeout(1_200)  # to compile takes a minute or two of a processor
RUN = """
import importlib, sys
from extauthz.app.compiled import is_compiled
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
print(is_compiled())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one that the image is made of: it is compiled once for all tests."""
    require_namespaces()
    (built,) = (wheel_stage(tmp_path_factory)["wheel"] / "wheel").iterdir()
    return built


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a build takes, without what was compiled in the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    for name in (
        "pyproject.toml",
        "hatch_build.py",
        hatch_build.TRAINING,
        "requirements.lock",
        "README.md",
        "LICENSE",
        ".gitignore",
    ):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.so", Path(hatch_build.DIGEST).name)
    shutil.copytree(ROOT / "extauthz", folder / "extauthz", ignore=ignored)
    shutil.copytree(ROOT / "docs" / "man", folder / "docs" / "man")
    return folder


def build(sources: Path, kind: str, out: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", out],
        cwd=sources, check=False, capture_output=True, text=True, env={**os.environ, **environ},
    )  # fmt: skip


def imported_from(wheel: Path, folder: Path) -> list[str]:
    """The files that the modules come from, relative to where the wheel is unpacked; and whether it is compiled."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)  # noqa: S202 - it was built just now
    names = [module.removesuffix(".py").replace("/", ".") for module in MODULES]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", RUN, *names], check=True, capture_output=True, text=True, env=environ, cwd=folder
    )
    return [line.removeprefix(f"{folder}/") for line in ran.stdout.split()]


@pytest.mark.long
def test_a_wheel_is_of_a_platform_and_has_all_that_is_compiled(wheel: Path) -> None:
    *_, tags = parse_wheel_filename(wheel.name)
    (tag,) = tags
    assert (tag.interpreter, tag.abi) == ((own := next(sys_tags())).interpreter, own.abi)
    assert tag.platform != "any"
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (about,) = (packed.read(name).decode() for name in names if name.endswith(".dist-info/WHEEL"))
    assert "Root-Is-Purelib: false\n" in about
    assert {name.partition(".")[0] for name in names if name.endswith(".so")} == {
        LIBRARY,
        *(module.removesuffix(".py") for module in MODULES),
    }
    assert set(MODULES) <= set(names), "the sources, which other Pythons and readers of tracebacks take"


@pytest.mark.long
def test_what_is_compiled_in_a_wheel_is_what_runs(wheel: Path, tmp_path: Path) -> None:
    *files, compiled = imported_from(wheel, tmp_path)
    assert [file.partition(".")[0] for file in files] == [module.removesuffix(".py") for module in MODULES]
    assert all(file.endswith(".so") for file in files)
    assert compiled == "True"


def test_without_a_compiler_a_wheel_is_for_every_platform_and_one_line_says_so(sources: Path, tmp_path: Path) -> None:
    built = build(sources, "wheel", tmp_path / "out", CC="no-such-cc")
    assert built.returncode == 0, built.stderr
    (warning,) = [line for line in (built.stdout + built.stderr).splitlines() if "compiled" in line]
    assert warning.startswith("extauthz is not compiled, and decides more slowly: there is no `no-such-cc`; install")
    (wheel,) = (tmp_path / "out").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    *files, compiled = imported_from(wheel, tmp_path / "unpacked")
    assert files == MODULES
    assert compiled == "False"


def test_where_it_must_be_compiled_there_is_no_wheel_without_a_compiler(sources: Path, tmp_path: Path) -> None:
    built = build(sources, "wheel", tmp_path / "out", CC="no-such-cc", EXTAUTHZ_COMPILED="required")
    assert built.returncode == 1
    assert "EXTAUTHZ_COMPILED says that it must be: there is no `no-such-cc`; install" in built.stderr
    assert "Traceback" not in built.stderr
    assert not list((tmp_path / "out").glob("*.whl"))


def test_an_archive_has_what_is_compiled_as_sources_alone(sources: Path, tmp_path: Path) -> None:
    stale = [(sources / MODULES[0]).with_suffix(".so"), sources / f"{LIBRARY}.so", sources / hatch_build.DIGEST]
    for path in stale:
        path.write_bytes(b"of other sources")
    assert build(sources, "sdist", tmp_path).returncode == 0
    assert build(sources, "wheel", tmp_path, CC="no-such-cc").returncode == 0
    for path in stale:
        path.unlink()
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {*MODULES, "hatch_build.py", hatch_build.TRAINING, "pyproject.toml", ".gitignore"} <= names
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as unpacked:
        for held in (names, unpacked.namelist()):
            assert not [name for name in held if name.endswith(".so") or name == hatch_build.DIGEST]
