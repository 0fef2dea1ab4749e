"""What the server says of a failure of its own: the traceback, and nothing that was in its variables."""

import subprocess
import sys

FAILS = """
import sys
import structlog
from extauthz.app.logs import configure_logs

sys.stderr.isatty = lambda: {terminal}
configure_logs()

def verify(secret, code):
    raise RuntimeError("the store is upside down")

try:
    verify(b"planted-" + b"secret", "28" + "2774")
except RuntimeError:
    structlog.get_logger("test").exception("check-failed")
"""


def said(*, terminal: bool) -> str:
    script = FAILS.format(terminal=terminal)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr


def test_a_traceback_holds_no_values_of_variables() -> None:
    for terminal in (True, False):
        text = said(terminal=terminal)
        assert "the store is upside down" in text
        assert "verify" in text
        assert "planted-secret" not in text
        assert "282774" not in text
