"""A folder with a configuration, and servers started in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import CONFIG, POLICY, Serve, Served, end, start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration that allows `/one`."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def serve(folder: Path, transport: str) -> Iterator[Serve]:
    """Starts servers; ends those that a test leaves behind."""
    started: list[Served] = []

    def starting(**environ: str) -> Served:
        started.append(start(folder, transport, **environ))
        return started[-1]

    yield starting
    for served in started:
        end(served)
