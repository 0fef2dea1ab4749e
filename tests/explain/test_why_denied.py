"""The section of the operations page on a denied request: its commands run before a real Envoy and a real server.

`curl` finds them by its own configuration file, so that the commands are those of the page.
"""

import os
import shutil
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from consoles import Shell, Step, steps, write
from e2e.stage import HOST, Script, Stage, stage

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
HEADING = "## Why was this request denied?\n"
POLICIES = "policies/payments.yaml"


def section() -> list[Step]:
    behind = PAGE.read_text().partition(HEADING)[2].splitlines(keepends=True)
    return list(steps("".join(takewhile(lambda line: not line.startswith("## "), behind))))


@pytest.fixture
def running() -> Iterator[Stage]:
    """The page's policies in force, and an audit file."""
    try:
        find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    for command in ("bash", "curl"):
        if shutil.which(command) is None:
            missing(f"the page needs {command}")
    (policies,) = (step.text for step in section() if step.file == POLICIES)
    with stage(Script(policies=policies, configuration={"audit": {"path": "audit.jsonl"}})) as found:
        (found.folder / "policies" / "policies.yaml").rename(found.folder / POLICIES)  # what it says stays in force
        yield found


def missing(message: str) -> None:
    """Skip, or fail where `REQUIRE_ALL` is set."""
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def shell(running: Stage) -> Iterator[Shell]:
    folder = running.folder
    port = running.admin.port("https")
    (folder / ".curlrc").write_text(
        f"cacert = {running.authority.certificate}\nconnect-to = {HOST}:443:127.0.0.1:{port}\n"
    )
    tokens = {
        "TOKEN": running.token("alice"),
        "OLD_TOKEN": running.issuer.token("alice", {}, now=time.time() - 86_400),
    }
    shell = Shell(folder, {"CURL_HOME": str(folder), **tokens})
    yield shell
    shell.close()


@pytest.mark.timeout(300)  # an Envoy, a server and some ten commands
def test_every_command_of_the_page_finds_out_why(running: Stage, shell: Shell) -> None:
    audit = running.folder / "audit.jsonl"
    ran = decisions = 0
    for step in section():
        if step.file == POLICIES:
            continue
        if step.file:
            write(running.folder, step)
            continue
        shell.show(step)
        ran += 1
        if step.text.startswith("curl "):
            decisions += 1
            wait_for_decisions(audit, decisions)
    assert ran >= 10


def wait_for_decisions(file: Path, count: int) -> None:
    """Records are written some milliseconds after the answer; events (a start, a reload) have lines of their own."""
    deadline = time.monotonic() + 10
    while not file.exists() or file.read_text().count('"decision":"') < count:
        assert time.monotonic() < deadline, f"{count} decisions never came"
        time.sleep(0.02)
