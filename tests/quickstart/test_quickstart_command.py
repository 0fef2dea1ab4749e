"""`extauthz quickstart` as a command: it walks, it compares, and nothing of it is left when it ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Never

import pytest

from extauthz.cli.quickstart.demo import EXTAUTHZ
from extauthz.cli.quickstart.steps import STEPS

SECONDS = 60.0


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*EXTAUTHZ, "quickstart", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


@contextmanager
def _staying(log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The command after its walk, in a session of its own like that of a terminal; killed at the end if it still is."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*EXTAUTHZ, "quickstart", *arguments], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(lambda: "Files" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _descendants(pid: int) -> set[int]:
    """The processes under `pid`, by /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended in between
            continue
        parents[int(entry.name)] = int(fields[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found - {pid}
        found |= more


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _folder(log: Path) -> Path:
    named = re.search(r"--cacert (\S+)/ca\.pem", log.read_text())
    assert named is not None
    return Path(named[1])


def test_the_walk_is_as_expected_and_the_command_says_so() -> None:
    done = _run("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(STEPS)} requests, each decided as expected" in done.stdout
    for rule in {step.expected.rule for step in STEPS if step.expected.rule is not None}:
        assert rule in done.stdout


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(other, marks=pytest.mark.long) for other in (signal.SIGINT, signal.SIGHUP))],
)
def test_a_signal_stops_everything_that_was_started_and_nothing_else(number: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander,
        _staying(log) as process,
    ):
        children, folder = _descendants(process.pid), _folder(log)
        assert len(children) >= 3
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        assert [pid for pid in children if _alive(pid)] == []
        assert not folder.exists()
        assert bystander.poll() is None
        bystander.communicate(b"\n")


def test_ctrl_c_before_the_end_of_the_walk_stops_everything_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*EXTAUTHZ, "quickstart"], stdout=output, stderr=subprocess.STDOUT)
    _wait(lambda: len(_descendants(process.pid)) >= 3)
    children = _descendants(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 130
    assert [pid for pid in children if _alive(pid)] == []
    assert "Traceback" not in log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with a parent that was killed")
def test_nothing_survives_a_kill_of_the_command(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with _staying(log) as process:
        children, folder = _descendants(process.pid), _folder(log)
        process.kill()
        process.wait()
        _wait(lambda: not any(_alive(pid) for pid in children))
    shutil.rmtree(folder)


def test_the_command_ends_when_a_part_of_it_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with _staying(log) as process:
        envoy = next(
            pid for pid in _descendants(process.pid) if (Path("/proc") / str(pid) / "comm").read_text() == "envoy\n"
        )
        os.kill(envoy, signal.SIGKILL)
        assert process.wait(SECONDS) == 1
    assert "envoy was ended by signal 9" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_every_line_to_copy_does_what_it_says(tmp_path: Path, missing: Callable[[str], Never]) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        missing("no curl or no bash; install them")
    log = tmp_path / "log"
    folder = tmp_path / "demo"
    folder.mkdir()
    with _staying(log, "--dir", str(folder)):
        lines = log.read_text().splitlines()
        tried = 0
        for comment, line in pairwise(lines):
            said = re.match(r"# .*: (\d{3})", comment)
            if said is None:
                continue
            tried += 1
            answer = subprocess.run(
                ["bash", "-c", f"{line} --silent --output /dev/null --write-out '%{{http_code}}'"],
                capture_output=True,
                text=True,
                check=True,
            )
            assert answer.stdout[-3:] == said[1], comment
        assert tried == 4
    assert (folder / "extauthz.yaml").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    done = _run("--dir", str(tmp_path))
    assert done.returncode == 1
    assert "is not empty; name a new folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_whose_name_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    done = _run("--dir", str(tmp_path / ("long" * 30)))
    assert done.returncode == 1
    assert "choose a shorter --dir" in done.stderr


def test_a_missing_envoy_is_one_clear_line(tmp_path: Path) -> None:
    """A package `envoy` that is none stands in front of the real one."""
    (tmp_path / "envoy.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*EXTAUTHZ, "quickstart"], capture_output=True, text=True, check=False, timeout=SECONDS, env=environment
    )
    assert done.returncode == 1
    assert (
        done.stderr == "extauthz: no Envoy is installed; `pip install '.[demo]'` in the project's folder brings one\n"
    )
