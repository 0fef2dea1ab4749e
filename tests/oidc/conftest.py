"""Servers as the tests of the application start them, in a folder that each test fills."""

from pathlib import Path

import pytest
from app.conftest import serve

__all__ = ["folder", "serve"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
