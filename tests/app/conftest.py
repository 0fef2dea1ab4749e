"""A folder with a configuration, and servers started in it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import CONFIG, POLICY, Serve, Served, command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration that allows `/one`."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Starts servers; ends those that a test leaves behind."""
    started: list[subprocess.Popen[str]] = []

    def start(**environ: str) -> Served:
        process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, text=True, env={**os.environ, **environ})
        started.append(process)
        served = Served(process, folder, {}, [])
        served.said = served.next_event("serving")
        return served

    yield start
    for process in started:
        process.kill()
        process.communicate()
