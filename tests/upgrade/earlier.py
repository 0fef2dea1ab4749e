"""Earlier versions of this program, out of git's history, as servers and commands on the state of a test.

Rule kept here: an earlier version is run as it was, from a folder of its own, with the packages of today. A commit that
is not there (a shallow clone, an archive) skips the test.
"""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from commanding import Ended, command

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A commit; whether it had `approvals`, whether today's version takes the `tickets` that it made, whether the lines
    of its audit are `chained`, whether today's version takes how it `signed` what its audit says of itself, and whether
    it had `events` for webhooks."""

    name: str
    commit: str
    approvals: bool = True
    tickets: bool = True
    chained: bool = True
    signed: bool = True
    events: bool = True


BEFORE_SIGNALS: Final = Version(
    name="before-signals",
    commit="e5c186dd85e8205cb91d89d7e1d4b07a070986ed",
    approvals=False,
    tickets=False,
    chained=False,
    signed=False,
    events=False,
)
"""It knows no signals, and what is in a store of them it does not understand."""
BEFORE_APPROVALS: Final = Version(
    name="before-approvals",
    commit="c273f2b322c0cee0b90b933dd7cf45b65ec8a6d3",
    approvals=False,
    tickets=False,
    chained=False,
    signed=False,
    events=False,
)
BEFORE_RECORDS: Final = Version(
    name="before-records",
    commit="32e23f49cff880a72bde3896e1a154dc4228dd7a",
    tickets=False,
    chained=False,
    signed=False,
    events=False,
)
BEFORE_SIGNATURES: Final = Version(
    name="before-signatures",
    commit="3469a278753c0f2b9a73aaf2e43a23e6e2122b10",
    tickets=False,
    signed=False,
    events=False,
)
"""It has an index of decisions, and the store knows the ends of its audit, which signs what it says in another way."""
BEFORE_WORDS: Final = Version(name="before-words", commit="8d555c478fe126ad0ab396bd99f3dbf38699eace")
"""Its index of decisions has an earlier form than today's; it has events for webhooks."""
PROMISED: Final = Version(name="promised", commit="2905a61944e0d9a3fa9b3ee1d1154590db76020c")
"""From here on docs/upgrade.md holds: state of this version and of every later one is read."""
VERSIONS: Final = (BEFORE_APPROVALS, BEFORE_RECORDS, BEFORE_SIGNATURES, BEFORE_WORDS, PROMISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program of a version, in this folder; of today's for `None`."""

    folder: Path | None

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which Python runs it."""
        return {} if self.folder is None else {"PYTHONPATH": str(self.folder)}

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Within it whoever starts extauthz starts this one."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.environment.items():
                patched.setenv(name, value)
            yield

    def run(self, *words: str | Path) -> "Ended | subprocess.CompletedProcess[str]":
        """One of its commands, to its end; today's in the process of the tests, unless a loop runs there."""
        if self.folder is None and not _in_a_loop():
            return command(*map(str, words), folder=Path.cwd())
        program = [sys.executable, "-P", "-m", "extauthz", *map(str, words)]
        environment = {**os.environ, **self.environment}
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=environment)

    def says(self, *words: str | Path) -> str:
        """What a command says that must end well."""
        ended = self.run(*words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


TODAY: Final = Program(folder=None)


def _in_a_loop() -> bool:
    """Whether asyncio is at work: a command begins a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def unpacked(version: Version, folder: Path) -> Program:
    """The program of this version, unpacked into a folder."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", version.commit, "extauthz"], capture_output=True, check=False, timeout=60
    )
    if archive.returncode:
        pytest.skip(f"no commit {version.commit} here ({archive.stderr.decode().strip()}); clone with its history")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return Program(folder=folder)
