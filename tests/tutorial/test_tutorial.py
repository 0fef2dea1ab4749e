"""The tutorial does what it says: its files are written, its commands run, and what it shows is what they print.

A fenced block with a file name is that file. In a `console` block, a line that begins with `$` is a command for one
shell that lives as long as the tutorial, and the lines under it are parts of its output, in their order; `…` stands for
anything. A command ends with 0. The server's ports are free ones.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PORTS = {"GRPC": 9191, "WEB": 9192, "ADMIN": 9193}
END = "the end of it:"


class Step(NamedTuple):
    """A file to write, or (`file` is empty) a command and what it prints."""

    file: str
    text: str
    printed: tuple[str, ...] = ()


def steps() -> Iterator[Step]:
    for language, file, text in FENCE.findall(TUTORIAL.read_text()):
        if file:
            yield Step(file, text)
            continue
        assert language == "console", f"neither a file nor a console: {text}"
        command = ""
        printed: list[str] = []
        for line in text.splitlines():
            if line.startswith("$ "):
                if command:
                    yield Step("", command, tuple(printed))
                command, printed = line.removeprefix("$ "), []
            else:
                printed.append(line)
        yield Step("", command, tuple(printed))


class Shell:
    """One bash in which all commands run, as in a reader's terminal of 80 columns."""

    def __init__(self, folder: Path) -> None:
        self._listen = {name: f"127.0.0.1:{port}" for name, port in free_ports().items()}
        environ = {f"EXTAUTHZ_LISTEN__{name}": address for name, address in self._listen.items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-o", "pipefail"],
            cwd=folder,
            env={**os.environ, **environ, "PATH": path, "COLUMNS": "80"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """The exit code and everything that was printed."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        for name, port in PORTS.items():
            command = command.replace(f"127.0.0.1:{port}", self._listen[name])
        self._bash.stdin.write(f'{command}\ncode=$?; echo; echo "{END} $code"\n')
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            if line.startswith(END):
                return int(line.rpartition(" ")[2]), printed
            printed += line
        raise AssertionError(f"the shell ended after: {printed}")

    def close(self) -> None:
        """End the shell; what it left behind ends with it."""
        assert self._bash.stdin is not None
        if self._bash.poll() is None:
            self._bash.stdin.write("kill $(jobs -p) 2> /dev/null; exit\n")
        self._bash.communicate(timeout=30)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    if shutil.which("bash") is None or shutil.which("curl") is None:
        message = "the tutorial needs bash and curl"
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def free_ports() -> dict[str, int]:
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in PORTS}
    ports = {name: one.getsockname()[1] for name, one in sockets.items()}
    for one in sockets.values():
        one.close()
    return ports


def assert_printed(parts: tuple[str, ...], output: str, command: str) -> None:
    """The parts occur in the output in their order, wherever lines were broken for a narrow terminal."""
    flat = " ".join(re.sub("[│├└─]", " ", output).split())
    at = 0
    for part in parts:
        words = " ".join(re.sub("[│├└─]", " ", part).split())
        pattern = re.escape(words).replace(re.escape("…"), ".*?")
        found = re.compile(pattern, re.DOTALL).search(flat, at)
        assert found, f"`{part}` is not (or not there) in what `{command}` printed:\n{output}"
        at = found.end()


@pytest.mark.timeout(300)  # some fifteen commands, each a process of its own
def test_every_command_of_the_tutorial_does_what_it_shows(tmp_path: Path, shell: Shell) -> None:
    ran = 0
    for step in steps():
        if step.file:
            (tmp_path / step.file).parent.mkdir(exist_ok=True)
            (tmp_path / step.file).write_text(step.text)
            continue
        code, output = shell.run(step.text)
        assert code == 0, f"`{step.text}` ended with {code}:\n{output}"
        assert_printed(step.printed, output, step.text)
        ran += 1
    assert ran >= 15
