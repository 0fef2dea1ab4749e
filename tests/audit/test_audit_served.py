"""Records of a real server: every decision, through rotation, kills and full disks; and what `required` means."""

import json
import signal
from pathlib import Path

import pytest
from audit.audit_form import mistakes
from audit.auditing import all_lines, ids, lines
from patience import GENEROUS, comes
from serving import Serve
from typer.testing import CliRunner

from extauthz.app.wiring import require_audit
from extauthz.cli.commands import app
from extauthz.errors import ConfigurationError
from extauthz.policy.load import load_text
from extauthz.record.config import AuditSettings
from extauthz.settings import Settings

REQUIRED = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - {name: recorded, paths: ["/recorded"], effect: allow, audit: required}
"""


def test_every_decision_is_recorded_across_a_rotation_until_the_server_has_stopped(serve: Serve, folder: Path) -> None:
    served, path = serve(), folder / "audit.jsonl"
    assert served.allows("/one")
    assert comes(lambda: len(ids(path)) == 1)
    path.rename(folder / "audit.jsonl.1")
    answers = [served.allows(path, authorization="Bearer s3cr3t") for path in ("/one", "/two?code=s3cr3t", "//bad")]
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(GENEROUS) == 0
    records = lines(path)
    assert len(ids(folder / "audit.jsonl.1")) == 1
    assert answers == [True, False, False]
    assert [mistake for line in all_lines(path) for mistake in mistakes(line)] == []
    assert [record["decision"] for record in records] == ["allow", "deny", "deny"]
    assert [record["reason"] for record in records] == ["allowed", "no-rule-allows", "malformed-path"]
    assert [(one["glimpse"]["path"], "request" in one) for one in records if "glimpse" in one] == [("//bad", False)]
    assert {record["revision"] for record in records} == {served.said["revision"]}
    assert len(set(ids(folder / "audit.jsonl"))) == 3
    assert "s3cr3t" not in (folder / "audit.jsonl").read_text()
    assert (folder / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_kill_leaves_whole_lines(serve: Serve, folder: Path) -> None:
    served = serve()
    for _ in range(50):
        assert served.allows("/one")
    assert comes(lambda: len(ids(folder / "audit.jsonl")) > 10)
    served.process.kill()
    served.process.wait(GENEROUS)
    assert len(ids(folder / "audit.jsonl")) > 10


def test_a_full_disk_stops_no_decision_but_those_whose_record_is_required(serve: Serve, folder: Path) -> None:
    (folder / "policies" / "site.yaml").write_text(REQUIRED)
    path = folder / "audit.jsonl"
    path.symlink_to("/dev/full")
    served = serve()
    assert served.allows("/open")
    assert not served.allows("/recorded")
    assert served.metric('extauthz_audit_records_total{result="written"}') == 0
    path.unlink()
    assert comes(lambda: path.exists() and len(ids(path)) == 2)
    assert comes(lambda: served.allows("/recorded"))
    opened, denied, *late = [(one["decision"], one["reason"]) for one in lines(path)]
    assert (opened, denied) == (("allow", "allowed"), ("deny", "audit-unavailable"))
    assert late.count(opened) == 1  # it is on disk when the answer is here
    assert set(late) <= {opened, denied}  # a busy disk may be too slow for the first that is recorded
    assert lines(path)[1]["status"] == 503
    assert served.metric('extauthz_audit_records_total{result="lost"}') == 0


def test_required_records_need_a_file() -> None:
    policies = load_text(REQUIRED)
    with pytest.raises(ConfigurationError, match="audit: no `path` is set, but the rule `site/recorded` says"):
        require_audit(policies, Settings(policies=(Path("policies"),)))
    require_audit(policies, Settings(policies=(Path("policies"),), audit=AuditSettings(path=Path("audit.jsonl"))))
    require_audit(load_text(REQUIRED.replace(", audit: required", "")), Settings(policies=(Path("policies"),)))


def test_replay_reads_what_the_server_wrote(serve: Serve, folder: Path) -> None:
    served = serve()
    for path in ("/one", "/one", "/two"):
        served.allows(path)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(GENEROUS)
    (folder / "new.yaml").write_text((folder / "policies" / "site.yaml").read_text().replace("/one", "/two"))
    arguments = ["--policy", str(folder / "new.yaml"), "--audit", str(folder / "audit.jsonl"), "--format", "json"]
    told = CliRunner().invoke(app, ["policy", "replay", *arguments])
    assert told.exit_code == 0, told.output
    changes = {(one["from"], one["to"]): one["count"] for one in json.loads(told.stdout)["changes"]}
    assert changes == {("allow", "deny"): 2, ("deny", "allow"): 1}
