"""Servers as the tests of the application start them, with an audit file."""

from pathlib import Path

import pytest
from app.conftest import serve
from serving import CONFIG, POLICY

__all__ = ["folder", "serve"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration that allows `/one` and records it."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "extauthz.yaml").write_text(CONFIG + "audit: {path: audit.jsonl}\n")
    return tmp_path


@pytest.fixture
def transport() -> str:
    """One of them: what is shown here is the same whatever carries Checks, and `tests/app` shows that on both."""
    return "grpcio"
