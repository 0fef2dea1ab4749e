"""The configuration of one issuer, in a file."""

from pathlib import Path

import pytest
from stepup.enrolling import CONFIGURATION


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "extauthz.yaml"
    path.write_text(CONFIGURATION)
    return path
