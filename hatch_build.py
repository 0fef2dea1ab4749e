"""Tells a wheel, and an archive of the source, which revision they are built from, and compiles what each request goes
through.

The revision is that of the checkout, or the variable EXTAUTHZ_REVISION where there is none, as in a build of an image.
Built from an archive of the source they have what that has.

The modules that `compiled` of pyproject.toml names are compiled by mypyc (docs/adr/024-the-hot-path-is-compiled.md).
Where there is no compiler of C a wheel is made without: it decides the same, more slowly. With the variable
EXTAUTHZ_COMPILED it is not made at all. A checkout has what was compiled beside its sources; `python hatch_build.py`
compiles them anew if they changed, and `make` does that.

gcc compiles twice: first so that what is compiled counts its steps while hatch_training.py has it decide, then with
what was counted. Another compiler, and one that builds where what extauthz depends on is not installed, compiles once.
"""

import errno
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOLD = "extauthz/_revision.txt"
DIGEST = "extauthz/_compiled.txt"
"""In a checkout: of what the modules beside it were compiled."""
GROUP = "extauthz"
"""What all of them are in is the module `extauthz__mypyc`."""
TRAINING = "hatch_training.py"
COMPILING = "compiling what each decision goes through: that takes a minute or two"
NOT_TRAINED = "extauthz is compiled without a training, and decides a little more slowly"
UNTRAINED = "untrained.txt"
"""In the folder of a compilation: why gcc was not told which ways through it are usual."""
LONGEST_TRAINING = 600.0
"""Seconds; it takes two or three of a machine that does nothing else."""
CALLS = ("-fvisibility=hidden", "-fno-plt")
"""Modules call each other without looking whether another library wants to be called instead, and Python without a stub
between."""
COUNTING = ("-fprofile-arcs",)
COUNTED = ("-fprofile-use", "-fprofile-partial-training")
"""What was never run in the training is optimised as ever: it may be what somebody else does all day."""


class NotCompiled(Exception):
    """Nothing was compiled. The message is one line."""


class Untrained(Exception):
    """It can't be learnt which ways are usual. The message is one line."""


class NoCompiler(NotCompiled):
    """There is no compiler of C, or it can't compile for this Python."""


def compile_modules(root: Path, modules: list[str], folder: Path) -> list[Path]:
    """Compile modules of a checkout into `lib` of a folder; the files, relative to that.

    A process of its own does it: what compilers say is not seen, and what they leave behind in a process is gone. So is
    what they leave in the folder for temporary files if they are killed, which is that one.

    Raises:
        NotCompiled: it failed.
    """
    command = [sys.executable, str(root / "hatch_build.py"), str(folder), *modules]
    with subprocess.Popen(  # noqa: S603 - it is this file
        command,
        cwd=root,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as compiling:
        try:
            said, _ = compiling.communicate()
        except BaseException:
            os.killpg(compiling.pid, signal.SIGKILL)  # its compilers, too
            raise
    if compiling.returncode != 0:
        raise NotCompiled(f"{_error_in(said)} (CC=none does without)")
    return sorted(file.relative_to(folder / "lib") for file in (folder / "lib").rglob("*") if file.is_file())


def why_untrained(folder: Path) -> str:
    """Why what `compile_modules` has put into the folder was compiled once, in a line; nothing if it was trained."""
    told = folder / UNTRAINED
    return told.read_text(encoding="utf-8") if told.exists() else ""


def _compiler() -> list[str]:
    """The command of the compiler. Raises `NotCompiled`."""
    named = os.environ.get("CC", "").strip() or sysconfig.get_config_var("CC") or "cc"
    try:
        return shlex.split(named)
    except ValueError as error:
        problem = str(error).lower()
        raise NotCompiled(f"the variable CC is no command, `{named}`: {problem} (CC=none does without)") from None


def require_compiler(folder: Path) -> None:
    """Look before anything takes long; `folder` is for what is written to find out.

    Raises:
        NoCompiler: naming what to install.
        NotCompiled: the variable CC can't be read.
    """
    command = _compiler()
    if shutil.which(command[0]) is None:
        raise NoCompiler(f"there is no `{command[0]}`; install a compiler of C (on Debian: gcc and libc6-dev)")
    source = folder / "probe.c"
    source.write_text("#include <Python.h>\n")
    ran = subprocess.run(  # noqa: S603 - the compiler that this Python names, or whoever builds
        [*command, "-I", sysconfig.get_path("include"), "-c", str(source), "-o", str(folder / "probe.o")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode != 0:
        raise NoCompiler(
            f"`{command[0]}` compiles nothing for this Python: {_error_in(ran.stderr)}; install what is missing (on"
            " Debian: libc6-dev, and python3-dev for Debian's own Python)"
        )


def _error_in(said: str) -> str:
    """The line of a compiler's words that tells most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it failed without a word"]
    return next((line for line in lines if re.search(r"[Ee]rror:", line)), lines[-1])


def _compile_here(modules: list[str], folder: Path) -> None:
    """What `compile_modules` has another process do, in the folder of the checkout.

    Only what is in the checkout tells types: so the same comes out whatever else is installed.
    """
    from mypyc.build import mypycify

    options = ["--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]
    options.append(f"--cache-dir={os.devnull}")
    untrained = _why_not_to_train(folder)
    extensions = mypycify(
        [*options, *modules], group_name=GROUP, target_dir=str(folder / "c"), opt_level="2", debug_level="0"
    )
    if not untrained:
        try:
            _build(extensions, folder, COUNTING)
            _train(folder)
            _build(extensions[:1], folder, COUNTED)
        except Untrained as error:
            untrained = f"{error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compiled without
            untrained = f"`{_compiler()[0]}` can't compile it with a profile ({type(error).__name__})"
    if untrained:
        _build(extensions, folder)
        (folder / UNTRAINED).write_text(untrained, encoding="utf-8")


def _build(extensions: list[Any], folder: Path, flags: tuple[str, ...] = ()) -> None:
    """Compile into `lib` what mypyc has written: the library first, and beside it what makes modules of it, a line or
    two of each."""
    from setuptools import Distribution  # type: ignore[import-untyped]

    library, plain = extensions[0], list(extensions[0].extra_compile_args)
    library.extra_compile_args, library.extra_link_args = [*plain, *CALLS, *flags], [*flags]
    building = Distribution({"name": GROUP, "packages": [], "ext_modules": extensions}).get_command_obj("build_ext")
    building.build_lib, building.build_temp = str(folder / "lib"), str(folder / "o")
    building.force = building.parallel = True
    building.ensure_finalized()
    try:
        building.run()
    finally:
        library.extra_compile_args = plain


def _why_not_to_train(folder: Path) -> str:
    """Why it can't be, in a line; nothing if it can. What is trained is copied: nothing is put into the checkout."""
    source, place = folder / "probe.c", folder / "training"
    source.write_text(
        "#ifdef __clang__\n#error its profiles are of another kind\n#endif\nint one(void) { return 1; }\n"
    )
    for flags in (COUNTING, COUNTED):
        probe = [*_compiler(), "-shared", "-fPIC", *flags, str(source), "-o", str(folder / "probe.so")]
        ran = subprocess.run(probe, capture_output=True, text=True, check=False)  # noqa: S603 - as in `require_compiler`
        if ran.returncode != 0:
            return f"`{probe[0]}` can't be told what is usual: {_error_in(ran.stderr)}; gcc can"
    try:
        shutil.copytree("extauthz", place / "extauthz", ignore=shutil.ignore_patterns("*.so"))
        shutil.copy(TRAINING, place)
        _run_in(place, "-c", f"import {Path(TRAINING).stem}")
    except (OSError, shutil.Error, Untrained) as error:
        return f"{error}; build where what extauthz depends on is installed (`--no-build-isolation`)"
    return ""


def _train(folder: Path) -> None:
    """Have what counts decide; what it has counted is beside its object then. Raises `Untrained`."""
    place = folder / "training"
    shutil.copytree(folder / "lib", place, dirs_exist_ok=True)
    _run_in(place, TRAINING)
    if not any((folder / "o").rglob("*.gcda")):
        raise Untrained("nothing was counted")


def _run_in(place: Path, *arguments: str) -> None:
    """Run this Python there. Raises `Untrained`."""
    try:
        ran = subprocess.run(  # noqa: S603 - it is our own
            [sys.executable, *arguments],
            cwd=place, env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True, text=True, check=False, timeout=LONGEST_TRAINING,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Untrained(f"the training took longer than {error.timeout:.0f} s") from None
    if ran.returncode != 0:
        raise Untrained(_error_in(ran.stderr))


def compiled_modules(root: Path) -> list[str]:
    """What is to be compiled, by the project's own file."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    modules: list[str] = project["tool"]["hatch"]["build"]["hooks"]["custom"]["compiled"]
    return modules


def digest(root: Path, modules: list[str]) -> str:
    """Of all that decides what comes out: the sources, this file, the training, the interpreter and the versions of the
    tools."""
    hashed = hashlib.sha256(sys.version.encode())
    for file in (*modules, "hatch_build.py", TRAINING, "requirements.lock"):
        content = (root / file).read_bytes()
        hashed.update(f"\n{file} {len(content)}\n".encode() + content)
    return hashed.hexdigest()


def compiled_files(root: Path) -> list[Path]:
    """What was compiled beside its sources, of whichever these were, and what was to be put there."""
    return [*root.glob(f"*{GROUP}__mypyc.*"), *(root / "extauthz").rglob("*.so")]


def is_up_to_date(root: Path) -> bool:
    """Whether what is compiled in a checkout is of the sources there, and whole. It is where nothing is compiled."""
    told, found = root / DIGEST, compiled_files(root)
    if not told.exists():
        return not found
    modules = compiled_modules(root)
    return len(found) == len(modules) + 1 and told.read_text(encoding="ascii").strip() == digest(root, modules)


def compile_checkout(root: Path) -> None:
    """Have what is compiled beside its sources, if it is not yet: all of it, or nothing.

    Raises:
        NotCompiled: it can't be compiled. What was compiled before is removed: it could be of other sources.
        OSError: it can't be written there.
    """
    with _alone(root):
        modules, told = compiled_modules(root), root / DIGEST
        if told.exists() and is_up_to_date(root):
            return
        for place in {root / DIGEST, root / GROUP, *(root / module for module in modules)}:
            if not os.access(place.parent, os.W_OK):
                raise PermissionError(errno.EACCES, "can't be written to", str(place.parent))
        _remove_compiled(root)
        of = digest(root, modules)
        with tempfile.TemporaryDirectory() as folder:
            require_compiler(Path(folder))
            print(COMPILING, file=sys.stderr)  # noqa: T201
            files = compile_modules(root, modules, Path(folder))
            if why := why_untrained(Path(folder)):
                print(f"{NOT_TRAINED}: {why}", file=sys.stderr)  # noqa: T201
            if digest(root, modules) != of:
                raise NotCompiled("its sources were changed meanwhile; run it again")
            try:
                # The library that all of them need is the last: without it nothing of them is run.
                for file in sorted(files):
                    part = (root / file).with_name(f".{file.name}")
                    shutil.copyfile(Path(folder) / "lib" / file, part)
                    part.replace(root / file)
                told.write_text(f"{of}\n", encoding="ascii")
            except BaseException:
                _remove_compiled(root)
                raise


def _remove_compiled(root: Path) -> None:
    told = root / DIGEST
    for old in (*compiled_files(root), *([told] if told.exists() else ())):
        old.unlink()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Wait until nobody else compiles in this checkout."""
    folder = os.open(root / "extauthz", os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another one that compiles here", file=sys.stderr)  # noqa: T201
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


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
            require_compiler(folder)
            self.app.display_info(COMPILING)
            for compiled in compile_modules(root, self.config["compiled"], folder):
                build_data["force_include"][str(folder / "lib" / compiled)] = str(compiled)
            if why := why_untrained(folder):
                self.app.display_info(f"{NOT_TRAINED}: {why}")
        except NotCompiled as error:
            if os.environ.get("EXTAUTHZ_COMPILED"):
                self.app.abort(f"extauthz is not compiled, and EXTAUTHZ_COMPILED says that it must be: {error}")
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


def main(root: Path) -> int:
    """Compile the checkout; the exit code. Without a compiler there is no more to be had."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # so that nothing half is left behind
    try:
        compile_checkout(root)
    except NotCompiled as problem:
        print(f"extauthz is not compiled, and decides more slowly: {problem}", file=sys.stderr)  # noqa: T201
        return 0 if isinstance(problem, NoCompiler) else 1
    except OSError as problem:
        stays = "; what was compiled of other sources is still run" if compiled_files(root) else ""
        file = problem.filename2 or problem.filename
        where = f"`{file}`: " if file else ""
        print(f"extauthz can't be compiled: {where}{problem.strerror}{stays}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("extauthz is not compiled: it was interrupted; run it again", file=sys.stderr)  # noqa: T201
        return 130
    return 0


if __name__ == "__main__":
    if sys.argv[1:]:
        _compile_here(sys.argv[2:], Path(sys.argv[1]))
    else:
        sys.exit(main(Path(__file__).resolve().parent))
