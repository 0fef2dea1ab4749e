"""The shop's policies, in files."""

from pathlib import Path

import pytest
from policytest.shop import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)
