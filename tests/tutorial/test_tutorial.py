"""The tutorial does what it says: its files are written, its commands run, and what it shows is what they print.

The commands run in one shell that lives as long as the tutorial. The server's ports are free ones.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from consoles import Shell, steps, write
from ports import free_port

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
PORTS = {"GRPC": 9191, "WEB": 9192, "ADMIN": 9193}


@pytest.fixture
def listen() -> dict[str, str]:
    """Free addresses in place of the ones that the tutorial names."""
    return {name: f"127.0.0.1:{free_port()}" for name in PORTS}


@pytest.fixture
def shell(tmp_path: Path, listen: dict[str, str]) -> Iterator[Shell]:
    if shutil.which("bash") is None or shutil.which("curl") is None:
        message = "the tutorial needs bash and curl"
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    shell = Shell(tmp_path, {f"EXTAUTHZ_LISTEN__{name}": address for name, address in listen.items()})
    yield shell
    shell.close()


@pytest.mark.long
@pytest.mark.timeout(300)  # some fifteen commands, each a process of its own
def test_every_command_of_the_tutorial_does_what_it_shows(tmp_path: Path, shell: Shell, listen: dict[str, str]) -> None:
    ran = 0
    for step in steps(TUTORIAL.read_text()):
        if step.file:
            write(tmp_path, step)
            continue
        command = step.text
        for name, port in PORTS.items():
            command = command.replace(f"127.0.0.1:{port}", listen[name])
        shell.show(step, command)
        ran += 1
    assert ran >= 15
