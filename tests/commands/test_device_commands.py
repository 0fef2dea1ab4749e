"""`extauthz devices` as an operator uses it: what it shows, and what it puts into the store."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from commanding import command
from typer.testing import CliRunner, Result

from extauthz.app.wiring import open_configured_store
from extauthz.cli.devices import app as devices
from extauthz.identity.revocations import Revocations
from extauthz.settings import load_settings
from extauthz.store.devices import ListedDevice
from extauthz.store.protocol import Store
from extauthz.values.identity import Subject

_T = TypeVar("_T")

ISSUER = "https://idp.example.com"
ALICE, BOB = Subject(ISSUER, "alice"), Subject(ISSUER, "bob")
NOW = time.time()
USER = f'{{name: idp, issuer: "{ISSUER}", audiences: [shop], jwks: jwks.json}}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "extauthz.yaml"
    path.write_text(f"policies: [p/]\nidentity: {{users: [{USER}]}}\n")
    for number, (id_, subject) in enumerate([("d1", ALICE), ("d2", ALICE), ("d1", BOB)]):
        at = NOW - 100 + number
        device = ListedDevice(
            id=id_, subject=subject, first_at=at - 1000, proven_at=at, until=at + 10_000, name="Fire\tfox\x1b[2J"
        )
        in_store(path, lambda store, device=device: store.put_device(device, now=NOW))  # type: ignore[misc]  # the type of a default is not inferred
    return path


def in_store(config: Path, work: Callable[[Store], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        store = open_configured_store(load_settings(config))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def invoke(config: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(
        devices, [arguments[0], "--config", str(config), *arguments[1:]], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result


def listed(config: Path, *arguments: str) -> list[tuple[str, str, bool]]:
    rows = json.loads(invoke(config, "list", *arguments, "--format", "json").stdout)
    return [(row["sub"], row["id"], row["revoked"]) for row in rows]


def is_revoked(config: Path, device: str, subject: Subject, *, proven_at: float) -> bool:
    revocations: Any = in_store(config, lambda store: store.revocations(None, now=time.time()))
    return Revocations(revocations).has_device(device, subject, proven_at=proven_at, now=time.time())


def test_devices_are_listed_for_people_on_one_line_each(config: Path) -> None:
    assert listed(config) == [("alice", "d1", False), ("alice", "d2", False), ("bob", "d1", False)]
    assert listed(config, "bob") == [("bob", "d1", False)]
    lines = invoke(config, "list").stdout.splitlines()
    assert [line.split("\t")[6] for line in lines] == ["known"] * 3
    assert "\x1b" not in "".join(lines)
    assert len(lines[0].split("\t")) == 8, "what a browser calls itself ends no cell"


def test_one_device_is_revoked_for_whoever_has_used_it(config: Path) -> None:
    said = invoke(config, "revoke", "alice", "--device", "d1")
    assert said.stdout == f"`alice` at {ISSUER}: revoked device `d1`\n"
    assert listed(config) == [("alice", "d1", True), ("alice", "d2", False), ("bob", "d1", True)]
    assert is_revoked(config, "d1", ALICE, proven_at=time.time() + 60)


def test_all_devices_of_a_subject_are_revoked_until_they_are_proven_on_again(config: Path) -> None:
    said = json.loads(invoke(config, "revoke", "alice", "--all", "--format", "json").stdout)
    assert (said["sub"], said["kind"]) == ("alice", "devices")
    assert listed(config) == [("alice", "d1", True), ("alice", "d2", True), ("bob", "d1", False)]
    assert is_revoked(config, "never listed", ALICE, proven_at=NOW)
    assert not is_revoked(config, "d1", ALICE, proven_at=time.time() + 60)


@pytest.mark.parametrize("arguments", [(), ("--device", "d1", "--all"), ("--device", " ")])
def test_what_could_be_meant_in_two_ways_is_refused(config: Path, arguments: tuple[str, ...]) -> None:
    refused = command("devices", "revoke", "alice", *arguments, folder=config.parent)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "`extauthz devices list` shows" in refused.stderr


def test_nobody_is_guessed(config: Path) -> None:
    assert command("devices", "revoke", " ", "--all", folder=config.parent).returncode == 2
