"""`extauthz policy test --watch`: run again on every change."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from policytest.shop import invoke

from extauthz.errors import ExtauthzError


class Watching:
    """`policy test --watch` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [str(Path(sys.executable).parent / "extauthz"), "policy", "test", str(folder), "--watch"]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
        )
        assert self.process.stdout is not None
        self._out: IO[str] = self.process.stdout

    def until(self, part: str, seconds: float = 30.0) -> None:
        """Read to the end of a run that says `part`; a file may be seen half written in one before."""
        said, end = "", time.monotonic() + seconds
        while part not in said or not said.endswith("waiting for changes; Ctrl-C ends this\n"):
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no `{part}` in: {said}"
            read = os.read(self._out.fileno(), 65536).decode()
            assert read, f"it ended after: {said}"
            said += read


def test_a_watch_runs_again_on_every_change_until_it_is_interrupted(folder: Path) -> None:
    watching = Watching(folder)
    try:
        watching.until("6 passed, 0 failed")
        file = folder / "payments.yaml"
        good = file.read_text()
        file.write_text(good.replace("1000.0", "9000.0"))
        watching.until("4 passed, 2 failed")
        file.write_text(good.replace("1000.0", "'much'"))
        watching.until("payments.yaml:16:")
        replacement = folder / ".payments.new"
        replacement.write_text(good)
        replacement.replace(file)  # as editors do
        watching.until("6 passed, 0 failed")
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.wait(10) == 0
    finally:
        watching.process.kill()
        watching.process.communicate()


def test_a_watch_is_for_people(folder: Path) -> None:
    result = invoke("test", folder, "--watch", "--format", "json")
    assert result.exit_code == 2
    assert "leave out" in result.stderr


def test_a_watch_of_nothing_is_an_error(tmp_path: Path) -> None:
    result = invoke("test", tmp_path / "nowhere", "--watch")
    assert isinstance(result.exception, ExtauthzError)
    assert "nowhere: can't be read" in str(result.exception)
