"""Tells a wheel, and an archive of the source, which revision they are built from, and compiles what each request goes
through.

The revision is that of the checkout, or the variable EXTAUTHZ_REVISION where there is none, as in a build of an image.
Built from an archive of the source they have what that has.

The modules that `compiled` of pyproject.toml names are compiled by mypyc (docs/adr/024-the-hot-path-is-compiled.md).
Where there is no compiler of C a wheel is made without: it decides the same, more slowly. A checkout has what was
compiled beside its sources; `python hatch_build.py` compiles them anew if they changed, and `make` does that.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOLD = "extauthz/_revision.txt"
DIGEST = "extauthz/_compiled.txt"
"""In a checkout: of what the modules beside it were compiled."""
GROUP = "extauthz"
"""What all of them are in is the module `extauthz__mypyc`."""


class NotCompiled(Exception):
    """There is no compiler of C, or none that works."""


def compile_modules(root: Path, modules: list[str], folder: Path) -> list[Path]:
    """Compile modules of a checkout into a folder; the files, relative to it.

    Only what is in the checkout tells types: so the same comes out whatever else is installed.

    Raises:
        NotCompiled: for want of a compiler.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution  # type: ignore[import-untyped]
    from setuptools.errors import CCompilerError, ExecError, PlatformError  # type: ignore[import-untyped]

    options = ["--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]
    options.append(f"--cache-dir={folder / 'mypy'}")
    before = Path.cwd()
    os.chdir(root)
    try:
        extensions = mypycify([*options, *modules], group_name=GROUP, target_dir=str(folder / "c"), debug_level="0")
        building = Distribution({"name": GROUP, "packages": [], "ext_modules": extensions}).get_command_obj("build_ext")
        building.build_lib, building.build_temp = str(folder / "lib"), str(folder / "o")
        building.ensure_finalized()
        try:
            building.run()
        except (CCompilerError, ExecError, PlatformError) as error:
            raise NotCompiled(str(error)) from error
    finally:
        os.chdir(before)
    return sorted(file.relative_to(folder / "lib") for file in (folder / "lib").rglob("*") if file.is_file())


def compiled_modules(root: Path) -> list[str]:
    """What is to be compiled, by the project's own file."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    modules: list[str] = project["tool"]["hatch"]["build"]["hooks"]["custom"]["compiled"]
    return modules


def digest(root: Path, modules: list[str]) -> str:
    """Of all that decides what comes out: the sources, this file, the interpreter and the versions of the tools."""
    hashed = hashlib.sha256(sys.version.encode())
    for file in (*modules, "hatch_build.py", "requirements.lock"):
        content = (root / file).read_bytes()
        hashed.update(f"\n{file} {len(content)}\n".encode() + content)
    return hashed.hexdigest()


def compiled_files(root: Path) -> list[Path]:
    """What was compiled beside its sources, of whichever these were."""
    return [*root.glob(f"{GROUP}__mypyc.*"), *(root / "extauthz").rglob("*.so")]


def is_up_to_date(root: Path) -> bool:
    """Whether what is compiled in a checkout is of the sources there. It is where nothing is compiled."""
    told = root / DIGEST
    if not told.exists():
        return not compiled_files(root)
    return told.read_text(encoding="ascii").strip() == digest(root, compiled_modules(root))


def compile_checkout(root: Path) -> None:
    """Have what is compiled beside its sources, if it is not yet.

    Raises:
        NotCompiled: for want of a compiler. What was compiled before is removed: it could be of other sources.
    """
    modules, told = compiled_modules(root), root / DIGEST
    if told.exists() and is_up_to_date(root):
        return
    told.unlink(missing_ok=True)
    for old in compiled_files(root):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for file in compile_modules(root, modules, Path(folder)):
            shutil.copy2(Path(folder) / "lib" / file, root / file)
    told.write_text(f"{digest(root, modules)}\n", encoding="ascii")


class BuildHook(BuildHookInterface):  # type: ignore[type-arg]  # by its configuration
    """Adds the file that `extauthz --version` reads, which is never among the files of the checkout, and what is
    compiled.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them; not where the package is read from the checkout itself (`version` is `editable`)."""
        self._folder = tempfile.TemporaryDirectory()
        root, folder = Path(self.root), Path(self._folder.name)
        if version != "editable" and (found := os.environ.get("EXTAUTHZ_REVISION", "").strip() or self._checked_out()):
            file = folder / "revision.txt"
            file.write_text(f"{found}\n", encoding="ascii")
            build_data["force_include"][str(file)] = TOLD
        if self.target_name != "wheel" or version == "editable" or not self.config["compiled"]:
            return
        try:
            for compiled in compile_modules(root, self.config["compiled"], folder):
                build_data["force_include"][str(folder / "lib" / compiled)] = str(compiled)
        except NotCompiled as error:
            self.app.display_warning(f"extauthz is not compiled, and decides more slowly: {error}")
        else:
            build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - what the interface hands over
        """Remove what was written for it."""
        self._folder.cleanup()

    def _checked_out(self) -> str:
        if not (Path(self.root) / ".git").exists():
            return ""
        head = self._git("rev-parse", "--short=12", "HEAD")
        changed = self._git("status", "--porcelain", "--untracked-files=no")
        return f"{head}+changed" if head and changed else head

    def _git(self, *arguments: str) -> str:
        """What git says; nothing if it can't be asked."""
        command = ["git", "-C", self.root, *arguments]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - they are our own
        except (OSError, subprocess.CalledProcessError):
            return ""
        return ran.stdout.strip()


if __name__ == "__main__":
    try:
        compile_checkout(Path(__file__).resolve().parent)
    except NotCompiled as problem:
        print(f"extauthz is not compiled, and decides more slowly: {problem}", file=sys.stderr)  # noqa: T201
