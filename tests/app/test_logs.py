"""What the server says of itself: in the form and from the level on that it is told, with what a decision is found by,
and of a failure of its own the traceback and nothing that was in its variables."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import CONFIG, POLICY, command, end, start

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


def write(folder: Path, *, configuration: str = "", rule: str = "") -> None:
    (folder / "policies").mkdir()
    policy = POLICY.format(path="/one").replace("effect: allow}", f"effect: allow{rule}}}")
    (folder / "policies" / "site.yaml").write_text(policy)
    (folder / "extauthz.yaml").write_text(CONFIG + configuration)


@pytest.mark.parametrize("transport", ["grpcio", "pyvoy"])
def test_logs_come_as_text_where_that_is_wanted(tmp_path: Path, transport: str) -> None:
    write(tmp_path, configuration="logs: {format: console}\n")
    process = subprocess.Popen(command(tmp_path, transport), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if " serving " in line)
        assert not line.startswith("{")
        assert "revision=sha256:" in line
        assert "\x1b" not in line, "colours are for terminals"
    finally:
        process.kill()
        process.communicate()


def test_what_is_below_the_wanted_level_is_not_said(tmp_path: Path) -> None:
    write(tmp_path, configuration="logs: {level: error}\n")
    process = subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        while not (tmp_path / "keys.json").exists():  # the policies were read before
            assert process.poll() is None
            time.sleep(0.02)
        (tmp_path / "policies" / "site.yaml").write_text("nonsense")
        assert json.loads(process.stderr.readline())["event"] == "reload-refused"
    finally:
        process.kill()
        process.communicate()


def test_a_line_about_a_decision_has_its_id_and_its_trace(tmp_path: Path) -> None:
    """And a denial has no line at all."""
    (tmp_path / "audit.jsonl").symlink_to("/dev/full")
    write(tmp_path, configuration="audit: {path: audit.jsonl}\n", rule=", audit: required")
    served = start(tmp_path)
    try:
        trace = "0af7651916cd43dd8448eb211c80319c"
        assert not served.allows("/two")
        denied = served.answer("/one", {"traceparent": f"00-{trace}-b7ad6b7169203331-00"})
        said = served.next_event("audit-unavailable")
        assert said["trace_id"] == trace
        told = denied.dynamic_metadata.fields["extauthz"].struct_value.fields
        assert said["decision_id"] == told["decision_id"].string_value
        assert [line for line in served.heard if "decision_id" in line] == [said]
    finally:
        end(served)
