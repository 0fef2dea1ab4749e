"""Files that are gone, or something else, when they are used: after they were looked at, or behind a link."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import POLICY
from structlog.testing import capture_logs

from extauthz.app import exposed
from extauthz.app.exposed import refuse_exposed, tell_exposed
from extauthz.app.key_file import make_keys, read_keys
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.store.redis_address import parse_redis


def _gone(path: Path) -> None:
    path.unlink()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


SWAPS = (_gone, _pipe, _folder, _link)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    make_keys(tmp_path / "keys.json", replace=False)
    (tmp_path / "extauthz.yaml").write_text("policies: [policies]\nkeys: keys.json\n")
    return tmp_path / "extauthz.yaml"


def after_a_look(monkeypatch: pytest.MonkeyPatch, path: Path, swap: Callable[[Path], None]) -> None:
    """Swap the file at `path` as soon as its mode was looked at."""
    look = exposed._mode

    def looked(at: Path) -> int | None:
        mode = look(at)
        if at == path:
            monkeypatch.setattr(exposed, "_mode", look)
            swap(path)
        return mode

    monkeypatch.setattr(exposed, "_mode", looked)


@pytest.mark.parametrize("swap", SWAPS)
def test_what_everybody_could_write_a_moment_ago_ends_a_start(
    config: Path, monkeypatch: pytest.MonkeyPatch, swap: Callable[[Path], None]
) -> None:
    policy = config.parent / "policies" / "site.yaml"
    policy.chmod(0o666)
    settings = load_settings(config)
    after_a_look(monkeypatch, policy, swap)
    with pytest.raises(ConfigurationError, match=r"everybody can write `.*site\.yaml` \(mode 0666\)"):
        refuse_exposed(settings, config)


@pytest.mark.parametrize("swap", SWAPS)
def test_a_key_file_that_is_swapped_is_told_of_by_whoever_reads_it(
    config: Path, monkeypatch: pytest.MonkeyPatch, swap: Callable[[Path], None]
) -> None:
    keys = config.parent / "keys.json"
    keys.chmod(0o644)
    after_a_look(monkeypatch, keys, swap)
    with capture_logs() as lines:
        tell_exposed(load_settings(config))
    assert [(line["event"], line["mode"]) for line in lines] == [("key-file-exposed", "0644")]
    with pytest.raises(ConfigurationError, match=r"^.*keys\.json: can't read the key file: ") as caught:
        read_keys(keys)
    assert "\n" not in str(caught.value)


def test_what_policies_are_linked_to_is_looked_at_and_a_ring_of_links_ends(config: Path) -> None:
    elsewhere = config.parent / "elsewhere"
    (elsewhere / "deeper").mkdir(parents=True)
    linked = elsewhere / "deeper" / "linked.yaml"
    linked.write_text("")
    (config.parent / "policies" / "link").symlink_to(elsewhere)
    (elsewhere / "ring").symlink_to(config.parent / "policies")
    settings = load_settings(config)
    refuse_exposed(settings, config)
    linked.chmod(0o606)
    with pytest.raises(ConfigurationError, match=r"everybody can write `.*policies/link/deeper/linked\.yaml`"):
        refuse_exposed(settings, config)


@pytest.mark.parametrize("swap", SWAPS)
def test_nobody_waits_for_the_password_of_the_store(tmp_path: Path, swap: Callable[[Path], None]) -> None:
    (tmp_path / "password").write_text("secret\n")
    url = "redis://127.0.0.1:1?password_file=password"
    assert parse_redis(url, base=tmp_path).password == "secret"
    swap(tmp_path / "password")
    with pytest.raises(ConfigurationError, match=r"^store: .*/password: can't read the password: ") as caught:
        parse_redis(url, base=tmp_path)
    assert "\n" not in str(caught.value)
