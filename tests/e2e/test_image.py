"""The Dockerfile names files that exist and are sent to the builder, and pins what the server needs."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = [
    source for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]
]


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_exists_and_is_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_readme_and_the_licence_that_the_build_reads_are_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "extauthz", project["readme"], *project["license-files"]} <= set(COPIED)


def test_everything_that_the_server_needs_is_pinned_by_the_lock() -> None:
    """The expression that makes constraints of the lock is the Dockerfile's own."""
    found = re.search(r"sed -nE 's/(\^.*)/\\1/p' requirements\.lock", DOCKERFILE)
    assert found is not None
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = {match[1].partition("==")[0] for line in lock if (match := re.match(found[1], line))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {Requirement(text).name.lower() for text in project["dependencies"]} <= pinned


def test_the_server_does_not_run_as_root() -> None:
    assert re.search(r"^USER 65532:65532$", DOCKERFILE, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["extauthz"\]$', DOCKERFILE, re.MULTILINE)
