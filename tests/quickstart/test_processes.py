"""Children are watched, waited for and stopped, each with all that it has started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli.quickstart.processes import Child, Processes, ProcessFailed

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True); time.sleep(60)"
)


def _start(processes: Processes, tmp_path: Path, program: str) -> Child:
    return processes.start("it", [sys.executable, "-c", program], log=tmp_path / "log", folder=tmp_path)


def _printed(child: Child) -> bool:
    return child.log.read_text().endswith("\n")


def test_a_child_that_ends_early_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, "import sys; sys.exit('no such thing')")
        with pytest.raises(ProcessFailed, match="it exited with 1; its log is") as failed:
            child.wait_until(lambda: False, seconds=30)
    assert failed.value.tail == "no such thing"


def test_a_child_that_does_not_get_ready_is_told(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, "import time; time.sleep(60)")
        with pytest.raises(ProcessFailed, match=r"it was not ready after 0\.2 s"):
            child.wait_until(lambda: False, seconds=0.2)


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    with Processes() as processes:
        child = processes.start("it", [tmp_path / "nothing"], log=tmp_path / "log", folder=tmp_path)
        with pytest.raises(ProcessFailed) as failed:
            child.wait_until(lambda: False, seconds=30)
    assert failed.value.tail == f"{tmp_path}/nothing: No such file or directory"


def test_a_child_that_does_not_obey_is_killed(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, STUBBORN)
        child.wait_until(lambda: _printed(child), seconds=30)
        assert child.stop(seconds=0.2) == -signal.SIGKILL
        assert child.stop() == -signal.SIGKILL


def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, PARENT)
        child.wait_until(lambda: _printed(child), seconds=30)
        grandchild = int(child.log.read_text())
    deadline = time.monotonic() + 30
    while _exists(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_ended_child_is_never_signalled_again(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, "pass")
        assert child.stop() in (0, -signal.SIGTERM)
        child.signal(signal.SIGKILL)


def test_ctrl_c_while_a_child_is_started_stops_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        """The child is there, and Ctrl-C comes before anybody has heard of it."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), Processes() as processes:
        _start(processes, tmp_path, "import time; time.sleep(60)")
    assert not _exists(started[0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _exists(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped by init does not."""
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
