"""Secrets that a group can read: a pod's are mounted for the server's group, every other one is told of."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from extauthz.app import exposed
from extauthz.app.exposed import tell_exposed
from extauthz.app.key_file import make_keys
from extauthz.settings import load_settings

OURS, ANOTHER = 4_242, 4_243

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to a group")


@pytest.mark.parametrize(
    ("group", "mode", "mounted", "told"),
    [
        (OURS, 0o440, True, False),
        (OURS, 0o440, False, True),
        (ANOTHER, 0o440, True, True),
        (OURS, 0o460, True, True),
        (OURS, 0o444, True, True),
    ],
)
def test_a_secret_is_told_of_unless_it_is_mounted_for_our_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, mode: int, mounted: bool, told: bool
) -> None:
    keys, config = tmp_path / "keys.json", tmp_path / "extauthz.yaml"
    make_keys(keys, replace=False)
    os.chown(keys, 0, group)
    keys.chmod(mode)
    config.write_text("policies: [policies]\nkeys: keys.json\n")
    monkeypatch.setattr(os, "getgroups", lambda: [OURS])
    monkeypatch.setattr(exposed, "_is_read_only", lambda _: mounted)
    with capture_logs() as lines:
        tell_exposed(load_settings(config))
    assert [line["event"] for line in lines] == (["key-file-exposed"] if told else [])
