"""Pages whose commands are run: what stands in their fenced blocks, a shell to run it in, and a terminal.

A fenced block with a file name is that file. In a `console` block, a line that begins with `$` is a command, and the
lines under it are parts of its output, in their order; `…` stands for anything. Other blocks are to be read only.
"""

import contextlib
import os
import re
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
END = "the end of it:"
TREE = re.compile("[│├└─]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Step(NamedTuple):
    """A file to write, or (`file` is empty) a command and what it prints."""

    file: str
    text: str
    printed: tuple[str, ...] = ()


def steps(page: str) -> Iterator[Step]:
    """What a reader of the page does, in order."""
    for language, file, text in FENCE.findall(page):
        if file:
            yield Step(file, text)
        elif language == "console":
            yield from _commands(text)


def _commands(text: str) -> Iterator[Step]:
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
    """One bash in which all commands run, as in a reader's terminal of 80 columns; `environ` comes on top of ours."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
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
        self._bash.stdin.write(f'{command}\ncode=$?; echo; echo "{END} $code"\n')
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            if line.startswith(END):
                return int(line.rpartition(" ")[2]), printed
            printed += line
        raise AssertionError(f"the shell ended after: {printed}")

    def show(self, step: Step, command: str | None = None) -> None:
        """Run the step's command, or `command` in its place: it ends with 0 and prints what the page shows."""
        code, output = self.run(command or step.text)
        assert code == 0, f"`{step.text}` ended with {code}:\n{output}"
        assert_printed(step.printed, output, step.text)

    def close(self) -> None:
        """End the shell; what it left behind ends with it."""
        assert self._bash.stdin is not None
        if self._bash.poll() is None:
            self._bash.stdin.write("kill $(jobs -p) 2> /dev/null; exit\n")
        self._bash.communicate(timeout=30)


def write(folder: Path, step: Step) -> None:
    """Write the file of a step."""
    (folder / step.file).parent.mkdir(exist_ok=True)
    (folder / step.file).write_text(step.text)


def assert_printed(parts: tuple[str, ...], output: str, command: str) -> None:
    """The parts occur in the output in their order, wherever lines were broken for a narrow terminal."""
    flat = " ".join(TREE.sub(" ", output).split())
    at = 0
    for part in parts:
        words = " ".join(TREE.sub(" ", part).split())
        pattern = re.escape(words).replace(re.escape("…"), ".*?")
        found = re.compile(pattern, re.DOTALL).search(flat, at)
        assert found, f"`{part}` is not (or not there) in what `{command}` printed:\n{output}"
        at = found.end()


def in_terminal(command: Sequence[str], *, columns: int) -> str:
    """What a command prints on a terminal of so many columns, without colours."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (24, columns))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(command, stdout=its, stderr=its, env={**environ, "TERM": "xterm"}) as process:
        os.close(its)
        printed = b""
        with contextlib.suppress(OSError):  # that is how Linux says that the other end is closed
            while part := os.read(ours, 65_536):
                printed += part
        os.close(ours)
    assert process.returncode == 0, printed
    return COLOUR.sub("", printed.decode()).replace("\r\n", "\n")
