"""The walk of the example on approvals does what its page shows, through a real Envoy: every command in its order.

What differs from the page: the ports are free ones, and a call is held for longer, so that nothing depends on how fast
this machine is.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from consoles import Shell, steps, write
from e2e.conftest import missing
from examples.showing import FOLDER
from ports import free_port

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

EXAMPLE = FOLDER / "large-refund"
PAGE = (EXAMPLE / "README.md").read_text()
LISTENED = {"GRPC": "9191", "WEB": "9192", "ADMIN": "9193", "APPROVALS": "9194"}
OTHERS = ("8443", "8080", "9090", "4317")
HOLD, WAITS = ("30s", "40s"), ("240s", "260s")


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ports in place of those of the page and of `gateway.yaml`."""
    return {port: str(free_port()) for port in (*LISTENED.values(), *OTHERS)}


@pytest.fixture
def folder(tmp_path: Path, ports: dict[str, str]) -> Path:
    """The project as far as the walk reads it, and the folder in it where a reader walks."""
    folder = tmp_path / "docs" / "examples" / "large-refund"
    shutil.copytree(EXAMPLE, folder)
    policy = folder / "policies" / "policy.yaml"
    policy.write_text(policy.read_text().replace(f"hold: {HOLD[0]}", f"hold: {WAITS[0]}"))
    gateway = (FOLDER.parents[1] / "envoy" / "gateway.yaml").read_text()
    (tmp_path / "envoy").mkdir()
    (tmp_path / "envoy" / "gateway.yaml").write_text(moved(gateway, ports).replace(HOLD[1], WAITS[1]))
    return folder


@pytest.fixture
def shell(folder: Path, ports: dict[str, str]) -> Iterator[Shell]:
    for name in ("bash", "curl", "openssl"):
        if shutil.which(name) is None:
            missing(f"the walk needs `{name}`")
    try:
        find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    listen = {f"EXTAUTHZ_LISTEN__{name}": f"127.0.0.1:{ports[port]}" for name, port in LISTENED.items()}
    shell = Shell(folder, listen)
    yield shell
    shell.close()


def moved(text: str, ports: dict[str, str]) -> str:
    for port, free in ports.items():
        text = text.replace(f":{port}", f":{free}").replace(f", {port})", f", {free})")
        text = text.replace(f"port_value: {port}", f"port_value: {free}")
    return text


@pytest.mark.timeout(600)  # some thirty commands, most of them processes of their own
@pytest.mark.long
def test_every_command_of_the_walk_does_what_it_shows(folder: Path, shell: Shell, ports: dict[str, str]) -> None:
    ran = 0
    for step in steps(PAGE):
        if step.file:
            write(folder, step._replace(text=moved(step.text, ports)))
            continue
        # Another Envoy may run on this machine, as on a reader's none does.
        shell.show(step, re.sub(r"^envoy ", "envoy --use-dynamic-base-id ", moved(step.text, ports)))
        ran += 1
    assert ran >= 30
    paid = (folder / "trial" / "service.log").read_text()
    assert [line.split('"')[1] for line in paid.splitlines()] == [
        f"POST /orders/{order}/refunds HTTP/1.1" for order in (17, 18, 19, 21)
    ]
