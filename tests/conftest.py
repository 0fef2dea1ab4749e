"""What holds for all tests.

Tests end commands by Ctrl-C. A shell lets what it runs in the background ignore SIGINT, and children inherit that. No
test asserts how long anything takes, and so no example of a property has a deadline.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("extauthz", deadline=None)
settings.load_profile("extauthz")


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are written: the folder that SCREENSHOTS names, else a temporary one."""
    named = os.environ.get("SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
