"""Completion in real shells: what stands on the line after Tab."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
HEAVY = ("typer", "click", "rich", "pydantic", "yaml", "structlog", "extauthz.settings", "extauthz.cli.commands")
BEGIN = {
    "bash": ["bash", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SOURCE = {
    "bash": 'eval "$(extauthz --show-completion; true)"',
    "zsh": 'autoload -Uz compinit; compinit -u; eval "$(extauthz --show-completion; true)"',
    "fish": "extauthz --show-completion | source",
}


class Terminal:
    """A shell with somebody who types."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def sees(self, text: str, patience: float = 20.0) -> None:
        """Wait until this is on the screen, then forget what was before."""
        until = time.monotonic() + patience
        while text not in self.shown:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"`{text}` did not appear: {self.shown!r}"
            self.shown += os.read(self._descriptor, 65_536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]


@contextmanager
def terminal(shell: str, folder: Path) -> Iterator[Terminal]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    child, descriptor = pty.fork()
    if child == 0:
        os.chdir(folder)
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        kept = {"PATH": path, "HOME": str(folder), "TERM": "dumb", "PS1": "ready> ", "LANG": "C.UTF-8"}
        os.execvpe(shell, BEGIN[shell], kept)  # noqa: S606 - the shell is what is tested
    try:
        yield Terminal(descriptor)
    finally:
        os.close(descriptor)
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completes_commands_options_and_words(shell: str, tmp_path: Path) -> None:
    with terminal(shell, tmp_path) as screen:
        screen.type(f"{SOURCE[shell]}; echo so''urced\n")
        screen.sees("sourced")
        screen.type("echo extauthz; extauthz approv\t")
        screen.sees("approvals")
        screen.type("revie\t")
        screen.sees("w")
        screen.type("\x15extauthz policy check --format sa\t")
        screen.sees("--format sarif")


def test_tab_in_bash_falls_back_to_files(tmp_path: Path) -> None:
    (tmp_path / "some-policies.yaml").touch()
    with terminal("bash", tmp_path) as screen:
        screen.type(f"{SOURCE['bash']}; echo so''urced\n")
        screen.sees("sourced")
        screen.type("extauthz policy check some\t")
        screen.sees("some-policies.yaml")


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    asked = {"_EXTAUTHZ_COMPLETE": "complete_bash", "COMP_WORDS": "extauthz\npolicy\nch", "COMP_CWORD": "2"}
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "extauthz"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, **asked},
    )  # fmt: skip
    assert ran.stdout == "check\n"
    found = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "extauthz.cli.completion.answer" in found
    assert found.isdisjoint(HEAVY)


def test_the_installed_script_is_that_of_the_shell(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["bash", "-c", "extauthz --install-completion; cat .bash_completions/extauthz.sh"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert "_EXTAUTHZ_COMPLETE=complete_bash" in ran.stdout
    assert "extauthz.sh" in (tmp_path / ".bashrc").read_text()
