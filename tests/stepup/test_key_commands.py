"""`extauthz keys` as an operator uses it."""

import json
import stat
from pathlib import Path

import pytest
from stepup.enrolling import call, enroll_as_program, prove
from typer.testing import CliRunner

from extauthz.check.proof.proving import Proven
from extauthz.cli.keys import app as keys
from extauthz.errors import ConfigurationError
from extauthz.stepup.keys import parse_keys


def call_keys(*arguments: str) -> str:
    result = CliRunner().invoke(keys, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_key_file_is_its_owners_only_and_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert "made with key" in call_keys("generate", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    with pytest.raises(ConfigurationError, match="is there already"):
        call_keys("generate", str(file))
    assert file.read_text() == before
    call_keys("generate", str(file), "--overwrite")
    assert parse_keys(file.read_text()).newest != parse_keys(before).newest
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_no_command_prints_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    output = call_keys("generate", str(file)) + call_keys("rotate", str(file))
    told = json.loads(call_keys("rotate", str(file), "--format", "json"))
    added = parse_keys(file.read_text()).keys[-1]
    assert told == {"file": str(file), "key": added.kid, "makes_from": added.makes_from}
    for entry in json.loads(file.read_text())["keys"]:
        assert entry["secret"] not in output


def test_rotation_keeps_everybodys_factor(config: Path) -> None:
    _, app = enroll_as_program(config)
    file = config.parent / "keys.json"
    before = parse_keys(file.read_text())
    assert "makes from 2" in call_keys("rotate", str(file))
    after = parse_keys(file.read_text())
    assert after.keys[:1] == before.keys
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert isinstance(prove(config, app.now()), Proven)


def test_rotation_needs_a_key_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't read"):
        call_keys("rotate", str(tmp_path / "keys.json"))
    for text, told in (
        ("{}", "not a key file"),
        ("{", "not JSON; restore"),
        ('{"keys": [{}]}', "keys\\[0\\]: a key has"),
    ):
        (tmp_path / "keys.json").write_text(text)
        with pytest.raises(ConfigurationError, match=f"^{tmp_path}/keys.json: {told}"):
            call_keys("rotate", str(tmp_path / "keys.json"))
        assert (tmp_path / "keys.json").read_text() == text
    with pytest.raises(ConfigurationError, match="can't write"):
        call_keys("generate", str(tmp_path / "missing" / "keys.json"))


def test_pruning_removes_what_nothing_needs_and_keeps_what_somebody_does(config: Path) -> None:
    file = config.parent / "keys.json"
    call_keys("generate", str(file))
    call_keys("rotate", str(file), "--after", "0s")
    _, app = enroll_as_program(config)
    unused, sealing = (entry["kid"] for entry in json.loads(file.read_text())["keys"])
    for _ in range(2):
        call_keys("rotate", str(file), "--after", "0s")
    newest = parse_keys(file.read_text()).newest.kid
    assert "4 left" in call_keys("prune", "--config", str(config)), "all of them made something lately"
    told = call_keys("prune", "--config", str(config), "--unused-for", "0s")
    assert f"`{unused}` is removed" in told
    assert sealing not in told
    assert [entry["kid"] for entry in json.loads(file.read_text())["keys"]] == [sealing, newest]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert isinstance(prove(config, app.now()), Proven)
    call("reset", "alice", config=config)
    assert f"`{sealing}` is removed" in call_keys("prune", "--config", str(config), "--unused-for", "0s")
    assert "1 left" in call_keys("prune", "--config", str(config), "--unused-for", "0s")


def test_a_rotation_is_told_when_it_is_not_a_duration(tmp_path: Path) -> None:
    result = CliRunner().invoke(keys, ["rotate", str(tmp_path / "keys.json"), "--after", "soon"])
    assert result.exit_code == 2
    assert "not a duration" in result.output
