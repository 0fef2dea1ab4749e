"""Servers as the tests of the application start them, in a folder that each test fills."""

from pathlib import Path

import pytest
from app.conftest import serve

__all__ = ["folder", "serve"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def transport() -> str:
    """One of them: what is shown here is the same whatever carries Checks, and `tests/app` shows that on both."""
    return "grpcio"
