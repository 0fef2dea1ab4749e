"""Each tutorial works as it stands on its page, followed literally in an empty folder: real processes, a real Envoy."""

from pathlib import Path

import pytest
from tutorial.walking import DOCS, walking


def test_every_command_of_the_first_page_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path) as walk:
        walk.take((DOCS / "start.md").read_text())
    assert walk.ran == 5


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_on_agents_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path, others=("8443", "8080")) as walk:
        walk.take((DOCS / "tutorials" / "agents.md").read_text())
    assert walk.ran >= 25
    assert "initech" not in (tmp_path / "tools.log").read_text()


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_on_ci_jobs_does_what_it_shows(tmp_path: Path) -> None:
    with walking(tmp_path, others=("8443", "8080")) as walk:
        walk.take((DOCS / "tutorials" / "ci.md").read_text())
    assert walk.ran >= 25
    assert (tmp_path / "deployments.log").read_text().count("POST /deployments/production") == 1
