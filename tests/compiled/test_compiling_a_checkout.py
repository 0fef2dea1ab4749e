"""`python hatch_build.py`, as `make install` runs it: a checkout is compiled whole or not at all. It says that it
begins, and one line if it fails.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.namespaces import require_namespaces

import hatch_build
from extauthz.app.compiled import LIBRARY

ROOT = Path(__file__).parents[2]
STALE = "extauthz/one.so"
"""What Python would run in place of a source: a file of that name is not looked into here."""
BEGINS = f"{hatch_build.COMPILING}\n"
USUAL = "from extauthz.policy.two import two\n\nfor _ in range(1_000):\n    assert two() == 2\n"
"""A training."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with two modules that are compiled, and what was compiled of them as they were before."""
    root = tmp_path / "checkout"
    for name, text in {
        "pyproject.toml": '[tool.hatch.build.hooks.custom]\ncompiled = ["extauthz/one.py", "extauthz/policy/two.py"]\n',
        "requirements.lock": "",
        "extauthz/__init__.py": "",
        "extauthz/policy/__init__.py": "",
        "extauthz/one.py": "def one() -> int:\n    return 1\n",
        "extauthz/policy/two.py": "from extauthz.one import one\n\n\ndef two() -> int:\n    return one() + one()\n",
        STALE: "",
        "extauthz__mypyc.so": "",
        hatch_build.TRAINING: USUAL,
        hatch_build.DIGEST: "of what was there before\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    shutil.copy(ROOT / "hatch_build.py", root)
    return root


def compiling(checkout: Path, *before: str, **environ: str) -> subprocess.Popen[str]:
    # What it needs of others is that of the tests; `extauthz` is that of the folder.
    (checkout.parent / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [*before, sys.executable, checkout / "hatch_build.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(checkout.parent / "tmp"), **environ},
    )


def compiled(checkout: Path, *before: str, **environ: str) -> tuple[int, str]:
    process = compiling(checkout, *before, **environ)
    said, _ = process.communicate()
    assert not list((checkout.parent / "tmp").iterdir()), "left behind"
    return process.returncode, said


def left(checkout: Path) -> list[Path]:
    """What of compiling is in the checkout."""
    told = checkout / hatch_build.DIGEST
    return [*hatch_build.compiled_files(checkout), *([told] if told.exists() else ())]


def run(checkout: Path) -> list[str]:
    script = "import extauthz.one, extauthz.policy.two as two; print(extauthz.one.__file__, two.__file__, two.two())"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=checkout, check=True, capture_output=True, text=True
    )  # fmt: skip
    return ran.stdout.split()


def test_two_at_once_compile_once_and_all_of_it(checkout: Path) -> None:
    first, second = compiling(checkout), compiling(checkout)
    said = sorted(one.communicate()[0] for one in (first, second))
    assert (first.returncode, second.returncode) == (0, 0)
    assert said == [BEGINS, "waiting for another one that compiles here\n"]
    assert hatch_build.is_up_to_date(checkout)
    assert not (checkout / STALE).exists()
    assert not list(checkout.rglob(".*"))
    one, two, sum_of = run(checkout)
    assert (one.endswith(".so"), two.endswith(".so"), sum_of) == (True, True, "2")
    made = {path: path.stat().st_mtime_ns for path in left(checkout)}
    assert compiled(checkout) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in left(checkout)} == made, "compiled though nothing changed"
    Path(one).unlink()
    assert not hatch_build.is_up_to_date(checkout), "a part of it is not what was compiled"


def gcc_that(folder: Path, does: str) -> str:
    """A gcc that writes down what it is asked, after something else."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    gcc = folder / "gcc-that"
    gcc.write_text(f'#!/bin/sh\nasked="$*"\n{does}\necho "$asked" >> {folder}/asked\nexec gcc "$@"\n')
    gcc.chmod(0o755)
    return str(gcc)


def asked_for_the_library(folder: Path) -> list[str]:
    """What of profiles was asked each time that what all modules are in was compiled."""
    lines = (folder / "asked").read_text().splitlines()
    return [
        " ".join(word for word in line.split() if word.startswith("-fprofile"))
        for line in lines
        if f"__native_{hatch_build.GROUP}.c " in line
    ]


def counts(checkout: Path) -> bool:
    """Whether what is compiled counts its steps, and would write them to a file."""
    (library,) = checkout.glob(f"{LIBRARY}.*")
    return b".gcda" in library.read_bytes()


def test_gcc_is_told_what_is_usual(checkout: Path, tmp_path: Path) -> None:
    assert compiled(checkout, CC=gcc_that(tmp_path, "")) == (0, BEGINS)
    assert asked_for_the_library(tmp_path) == ["-fprofile-arcs", "-fprofile-use -fprofile-partial-training"]
    assert not counts(checkout)
    assert run(checkout)[2] == "2"
    assert not list(checkout.rglob("*.gcda"))
    (checkout / hatch_build.TRAINING).write_text(f"{USUAL}two()\n")
    assert not hatch_build.is_up_to_date(checkout), "what comes out is that of another training"


@pytest.mark.parametrize(
    ("training", "why"),
    [
        pytest.param("raise SystemExit('an odd answer')\n", "an odd answer; build where", marks=pytest.mark.long),
        pytest.param("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'; build where"),
        pytest.param(f"{USUAL}if __name__ == '__main__':\n    assert two() == 3, 'an odd answer'\n", "an odd answer"),
        pytest.param(f"import os\n{USUAL}if __name__ == '__main__':\n    os._exit(0)\n", "nothing was counted"),
    ],
)
def test_what_can_not_be_trained_is_compiled_all_the_same(training: str, why: str, checkout: Path) -> None:
    (checkout / hatch_build.TRAINING).write_text(training)
    ended, said = compiled(checkout)
    assert (ended, said.count("\n")) == (0, 2)
    assert said.startswith(f"{BEGINS}{hatch_build.NOT_TRAINED}: ")
    assert why in said
    assert hatch_build.is_up_to_date(checkout)
    assert not counts(checkout)
    one, two, sum_of = run(checkout)
    assert (one.endswith(".so"), two.endswith(".so"), sum_of) == (True, True, "2")


@pytest.mark.parametrize(
    ("can_not", "times", "why"),
    [
        ("*-fprofile-arcs*", 1, "can't be told what is usual: cc: error: unknown option; gcc can"),
        ("*__native_*-fprofile-use*", 2, "can't compile it with a profile ("),
    ],
)
def test_a_compiler_that_can_not_be_told_compiles_all_the_same(
    can_not: str, times: int, why: str, checkout: Path, tmp_path: Path
) -> None:
    cc = gcc_that(tmp_path, f'case "$asked" in {can_not}) echo "cc: error: unknown option" >&2; exit 1;; esac')
    ended, said = compiled(checkout, CC=cc)
    assert (ended, said.count("\n")) == (0, 2)
    assert said.startswith(f"{BEGINS}{hatch_build.NOT_TRAINED}: ")
    assert why in said
    asked = asked_for_the_library(tmp_path)
    assert (len(asked), asked[-1]) == (times, "")
    assert not counts(checkout)
    assert run(checkout)[2] == "2"


@pytest.mark.long
def test_what_can_not_be_written_whole_is_removed(checkout: Path) -> None:
    require_namespaces()
    disk, copied = checkout.parent / "disk", checkout.parent / "copied"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=96k none "$1" && cp -R "$2" "$1/" && "$3" "$1/checkout/hatch_build.py"; ended=$?'
        '; cp -R "$1/checkout" "$4"; exit $ended'
    )
    ended, said = compiled(
        checkout, "unshare", "--mount", "sh", "-c", script, "sh", str(disk), str(checkout), sys.executable, str(copied)
    )
    assert (ended, said.count("\n")) == (1, 2)
    assert said.startswith(f"{BEGINS}extauthz can't be compiled: `{disk}/checkout/.{LIBRARY}")
    assert said.endswith("`: No space left on device\n")
    assert left(copied) == []


@pytest.mark.long
def test_without_room_to_compile_in_nothing_is_left(checkout: Path) -> None:
    require_namespaces()
    script = 'mount -t tmpfs -o size=64k none "$TMPDIR" && exec "$@"'
    ended, said = compiled(checkout, "unshare", "--mount", "sh", "-c", script, "sh")
    assert (ended, said.count("\n")) == (1, 2)
    assert "No space left on device" in said
    assert left(checkout) == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_leaves_nothing(by: signal.Signals, checkout: Path) -> None:
    process = compiling(checkout)
    assert process.stdout is not None
    assert process.stdout.readline() == BEGINS
    process.send_signal(by)
    said, _ = process.communicate()
    assert (process.returncode, said) == (130, "extauthz is not compiled: it was interrupted; run it again\n")
    assert left(checkout) == []
    assert not list((checkout.parent / "tmp").iterdir())


@pytest.mark.parametrize("command", ["no-such-cc", "false"])
def test_without_a_compiler_nothing_is_compiled_and_that_is_no_failure(command: str, checkout: Path) -> None:
    ended, said = compiled(checkout, CC=command)
    assert (ended, said.count("\n")) == (0, 1)
    assert said.startswith("extauthz is not compiled, and decides more slowly: ")
    assert f"`{command}`" in said
    assert "on Debian: " in said
    assert left(checkout) == []
    assert hatch_build.is_up_to_date(checkout)


def test_a_compiler_that_can_not_be_read_is_told_of_in_a_line(checkout: Path) -> None:
    said = (
        'extauthz is not compiled, and decides more slowly: the variable CC is no command, `gcc "-O2`: no closing '
        "quotation (CC=none does without)\n"
    )
    assert compiled(checkout, CC='gcc "-O2') == (1, said)
    assert left(checkout) == []


@pytest.mark.long
def test_a_compiler_of_blanks_is_none_that_was_chosen(checkout: Path) -> None:
    (checkout / "extauthz" / "one.py").write_text("def one() -> int:\n    return 'one'\n")  # so that it ends soon
    assert compiled(checkout, CC=" ")[1].startswith(BEGINS)


def test_what_mypyc_refuses_is_told_and_not_compiled(checkout: Path) -> None:
    (checkout / "extauthz" / "one.py").write_text("def one() -> int:\n    return 'one'\n")
    ended, said = compiled(checkout)
    assert (ended, said.count("\n")) == (1, 2)
    assert "extauthz/one.py:2: error: Incompatible return value type" in said
    assert said.endswith(" (CC=none does without)\n")
    assert left(checkout) == []
    assert compiled(checkout, CC="none")[0] == 0


@pytest.fixture
def read_only(checkout: Path) -> Iterator[Path]:
    """The same, to which root can't write either."""
    require_namespaces()
    subprocess.run(["mount", "--bind", checkout, checkout], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", checkout], check=True)
    yield checkout
    subprocess.run(["umount", checkout], check=True)


def test_where_nothing_can_be_written_it_says_that_what_is_there_is_still_run(read_only: Path) -> None:
    before = left(read_only)
    ended, said = compiled(read_only)
    assert (ended, said.count("\n")) == (1, 1)
    assert f"`{read_only}" in said
    assert said.endswith("can't be written to; what was compiled of other sources is still run\n")
    assert left(read_only) == before
    assert not hatch_build.is_up_to_date(read_only)


@pytest.mark.long
def test_sources_that_change_meanwhile_are_not_taken_for_what_was_compiled(checkout: Path) -> None:
    process = compiling(checkout)
    until = time.monotonic() + 60
    while not list((checkout.parent / "tmp").rglob("*.c")):
        assert time.monotonic() < until
        time.sleep(0.01)
    (checkout / "extauthz" / "one.py").write_text("def one() -> int:\n    return 3\n")
    said, _ = process.communicate()
    assert process.returncode == 1
    # Before it may stand that it could not be trained, by what was changed just then.
    assert said.endswith("its sources were changed meanwhile; run it again\n")
    assert left(checkout) == []
