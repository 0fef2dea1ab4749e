"""Instructions of one decision, its record left behind: the same on a busy machine as on a quiet one.

By the counters of the processor (`perf stat`) where they can be read, else by valgrind's callgrind, which simulates.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.harness.cores import pinned
from bench.harness.figures import Report, measured
from bench.harness.setting import Part, Setting
from extauthz.errors import ExtauthzError

NAME: Final = "instructions"
TITLE: Final = "Instructions of one decision: XFCC, 50 rules on 20 routes"
MISSING: Final = "no valgrind (install valgrind), and `perf stat` has no counters here"
PROGRAM: Final = (sys.executable, "-m", "bench.harness.counted")
WARM_UP: Final = 50
"""Decisions before the count: caches fill, the interpreter specialises."""
_SAID = re.compile(r"^(?:summary|totals): (\d+)$", re.MULTILINE)
_PERF_TIMES: Final = 100
"""Times more decisions where they run at full speed."""


class NotCounted(ExtauthzError):
    """A counter ended badly."""


def measure(setting: Setting) -> Report:
    """One figure, by the best counter at hand."""
    counted, core = setting.size.counted, setting.cores.load
    if _perf_counts():
        how, value = "perf stat", _by_perf(counted * _PERF_TIMES, core)
    elif shutil.which("valgrind") and shutil.which("callgrind_control"):
        how, value = "callgrind", _by_callgrind(counted, core)
    else:
        return PART.skipped(MISSING)
    figure = measured(f"one decision ({how})", "instr.", [value])
    return Report(part=NAME, title=TITLE, figures=(figure,))


def parse_totals(text: str) -> int:
    """Instructions in the last part of a callgrind file.

    Raises:
        NotCounted: it names none.
    """
    said = _SAID.findall(text)
    if not said:
        raise NotCounted("callgrind: its file has no totals")
    return int(said[-1])


def parse_perf(text: str) -> int | None:
    """Instructions in the lines of `perf stat -x,`; `None` where they can't be counted."""
    for line in text.splitlines():
        value, _, rest = line.partition(",")
        if "instructions" in rest:
            return int(value) if value.isdigit() else None
    return None


def _perf_counts() -> bool:
    return shutil.which("perf") is not None and _perf(["true"]) is not None


def _perf(command: list[str]) -> int | None:
    words = ["perf", "stat", "-x,", "-e", "instructions:u", *command]
    ended = subprocess.run(words, capture_output=True, text=True, env=_environ(), check=False)
    return parse_perf(ended.stderr)


def _by_perf(counted: int, core: int | None) -> float:
    """The difference of two runs of which one decides that often more."""
    with pinned(core):
        few, many = (_perf([*PROGRAM, str(times)]) for times in (WARM_UP, WARM_UP + counted))
    if few is None or many is None:
        raise NotCounted("perf: it stopped counting")
    return (many - few) / counted


def _by_callgrind(counted: int, core: int | None) -> float:
    """It simulates only between two calls of its control program: starting Python alone would take a minute."""
    with tempfile.TemporaryDirectory() as folder, pinned(core), _simulated(Path(folder)) as process:
        _tell(process, WARM_UP)
        _control(process, "--instr=on")
        _tell(process, WARM_UP)  # translates the code
        _control(process, "--zero")
        _tell(process, counted)
        _control(process, "--dump")
        _control(process, "--instr=off")
        written = sorted(Path(folder).glob("out.*"), key=lambda path: path.stat().st_mtime)
        if not written:
            raise NotCounted("callgrind: it wrote no file")
        return parse_totals(written[0].read_text()) / counted


@contextmanager
def _simulated(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    words = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out", *PROGRAM]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environ()
    )
    with process:
        try:
            _heard(process)
            yield process
        finally:
            process.kill()


def _tell(process: "subprocess.Popen[str]", times: int) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{times}\n")
    process.stdin.flush()
    _heard(process)


def _heard(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    if not process.stdout.readline():
        raise NotCounted("callgrind: the program ended; run `python -m bench.harness.counted 1` to see why")


def _control(process: "subprocess.Popen[str]", order: str) -> None:
    words = ["callgrind_control", order, str(process.pid)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotCounted(f"callgrind_control {order}: {ended.stderr.strip() or ended.stdout.strip()}")


def _environ() -> Mapping[str, str]:
    """The same hashes in each run, or dictionaries would differ."""
    return {**os.environ, "PYTHONHASHSEED": "0"}


PART: Final = Part(name=NAME, title=TITLE, targets=(), measure=measure)
