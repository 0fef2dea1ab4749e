"""`extauthz subjects` as an operator uses it: what it puts into the store, and what it says."""

import asyncio
import json
import time
from math import inf
from pathlib import Path
from typing import Any

import jwt
import pytest
from commanding import command
from typer.testing import CliRunner, Result

from extauthz.app.wiring import open_configured_store
from extauthz.check.subjects import NobodyNamed
from extauthz.cli.subjects import app as subjects
from extauthz.errors import ConfigurationError
from extauthz.identity.compact import digest_of
from extauthz.identity.revocations import DIGEST_PREFIX, Revocation
from extauthz.identity.signals.facts import Signal, SignalKey
from extauthz.settings import load_settings
from extauthz.store.signals import Delivery
from extauthz.values.identity import Subject

ISSUER, OTHER = "https://idp.example.com", "https://other.example"
WEB = "spiffe://prod.example.org/ns/shop/sa/web"
USER = '{{name: {name}, issuer: "{issuer}", audiences: [shop], jwks: jwks.json}}'
ALICE = f"`alice` at {ISSUER}"
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "extauthz.yaml"
    path.write_text(f"policies: [p/]\nidentity: {{users: [{USER.format(name='idp', issuer=ISSUER)}]}}\n")
    return path


def invoke(config: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(
        subjects, [arguments[0], "--config", str(config), *arguments[1:]], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result


def said(config: Path, *arguments: str) -> Any:
    return json.loads(invoke(config, *arguments, "--format", "json").stdout)


def kept(config: Path) -> tuple[Revocation, ...]:
    async def read() -> tuple[Revocation, ...]:
        store = open_configured_store(load_settings(config))
        try:
            return await store.revocations(None, now=time.time())
        finally:
            await store.close()

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("arguments", "kind", "subject", "id_"),
    [
        (("block", "alice"), "block", Subject(ISSUER, "alice"), ""),
        (("block", WEB), "block", Subject("", WEB), ""),
        (("block", "agent", "--issuer", OTHER), "block", Subject(OTHER, "agent"), ""),
        (("revoke", "alice"), "tokens", Subject(ISSUER, "alice"), ""),
        (("revoke", "alice", "--session", "s 1"), "session", Subject(ISSUER, "alice"), "s 1"),
        (("revoke", "alice", "--token", "t1"), "token", Subject(ISSUER, "alice"), "t1"),
        (("revoke", "alice", "--token", DIGEST), "token", Subject(ISSUER, "alice"), DIGEST),
        (("revoke", WEB, "--token", "t1"), "token", Subject("", WEB), "t1"),
    ],
)
def test_what_is_asked_for_is_in_the_store_and_is_listed(
    config: Path, arguments: tuple[str, ...], kind: str, subject: Subject, id_: str
) -> None:
    before = time.time()
    answer = said(config, *arguments)
    (entry,) = kept(config)
    assert (entry.kind, entry.subject, entry.id, entry.until) == (kind, subject, id_, inf)
    assert before <= entry.at <= time.time()
    assert answer.pop("grants") == 0
    (row,) = said(config, "list")
    assert row == answer
    assert (row["sub"], row["issuer"], row["kind"], row["id"], row["until"]) == (
        subject.id,
        subject.issuer,
        kind,
        id_,
        None,
    )


def test_a_block_lasts_as_long_as_it_says_and_is_lifted_once(config: Path) -> None:
    before = time.time()
    assert invoke(config, "block", "alice", "--for", "1h30m").stdout.startswith(f"{ALICE}: blocked, in force until 20")
    (entry,) = kept(config)
    assert before + 5400 <= entry.until <= time.time() + 5400
    assert invoke(config, "unblock", "alice").stdout == f"{ALICE}: unblocked\n"
    assert invoke(config, "unblock", "alice").stdout == f"{ALICE}: was not blocked\n"
    assert said(config, "unblock", "alice") == {"sub": "alice", "issuer": ISSUER, "was_blocked": False}
    assert kept(config) == ()


def test_people_read_what_was_done_and_what_there_is(config: Path) -> None:
    assert invoke(config, "block", "alice").stdout == f"{ALICE}: blocked\n"
    assert invoke(config, "block", WEB).stdout == f"`{WEB}`: blocked\n"
    assert invoke(config, "unblock", WEB).stdout == f"`{WEB}`: unblocked\n"
    bob = f"`bob` at {ISSUER}: "
    assert invoke(config, "revoke", "bob").stdout.startswith(f"{bob}revoked what was issued until 20")
    assert invoke(config, "revoke", "bob", "--token", "t1").stdout == f"{bob}revoked token `t1`\n"
    answer = invoke(config, "revoke", "bob", "--session", "s1").stdout
    assert answer == f"{bob}revoked session `s1`; 0 grants void\n"
    lines = [line.split("\t") for line in invoke(config, "list").stdout.splitlines()]
    assert [(line[0], line[2], line[3], line[5]) for line in lines] == [
        ("alice", "block", "", "for ever"),
        ("bob", "tokens", "", "for ever"),
        ("bob", "token", "t1", "for ever"),
        ("bob", "session", "s1", "for ever"),
    ]
    assert len(said(config, "list", "bob")) == 3
    assert invoke(config, "list", "carol").stderr == "nothing is revoked\n"


def test_an_issuer_that_is_nobodys_is_noted_since_a_typing_error_would_block_nobody(config: Path) -> None:
    result = invoke(config, "block", "agent", "--issuer", OTHER)
    assert result.stderr == f"note: `{OTHER}` is no issuer under `identity.users`; only actors can be of it\n"
    assert invoke(config, "block", "alice", "--issuer", ISSUER).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("block", " "), "the user has no name"),
        (("block", "spiffe://Prod.example.org/web"), "is no SPIFFE ID"),
        (("block", "SPIFFE://prod.example.org/web"), "is no SPIFFE ID"),
        (("block", "alice", "--for", "soon"), "--for: `soon` is not a duration; write `5m`"),
        (("block", "alice", "--for", "0s"), "--for: `0s` is no time"),
        (("block", "alice", "--for", "999999999d"), "leave it out for ever"),
        (("revoke", "alice", "--session", "a", "--token", "b"), "are two things"),
        (("revoke", "alice", "--session", ""), "--session: has no name; write the claim `sid`"),
        (("revoke", "alice", "--token", " "), "--token: has no name; write the claim `jti`"),
        (("revoke", "alice", "--token", "sha256:xyz"), "64 digits of lower-case hex"),
    ],
)
def test_words_that_can_mean_nothing_are_a_mistake_of_the_command_line(
    config: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = command("subjects", *arguments, folder=config.parent)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Usage: extauthz subjects ")
    assert message in refused.stderr
    assert kept(config) == ()


def test_whose_user_it_is_must_be_said_where_there_are_several(config: Path) -> None:
    users = ", ".join(USER.format(name=name, issuer=issuer) for name, issuer in (("a", ISSUER), ("b", OTHER)))
    config.write_text(f"policies: [p/]\nidentity: {{users: [{users}]}}\n")
    with pytest.raises(NobodyNamed, match="whose user is it"):
        invoke(config, "block", "alice")
    assert said(config, "block", "alice", "--issuer", OTHER)["issuer"] == OTHER


def test_a_store_inside_of_the_server_is_out_of_its_reach(config: Path) -> None:
    config.write_text(config.read_text() + "store: 'memory:'\n")
    with pytest.raises(ConfigurationError, match="is inside of the server"):
        invoke(config, "block", "alice")


def test_a_token_in_the_place_of_its_name_is_refused_and_not_said_again(config: Path) -> None:
    token = jwt.encode({"sub": "alice"}, "k" * 32, algorithm="HS256")
    for written in (token, f"Bearer {token}"):
        refused = command("subjects", "revoke", "alice", "--token", written, folder=config.parent)
        assert refused.returncode == 2
        assert token not in refused.stderr
        said_digest = refused.stderr.split("`")[-2]
        assert said_digest == DIGEST_PREFIX + digest_of(token)
    assert kept(config) == ()


def test_no_subject_speaks_to_the_terminal(config: Path) -> None:
    odd = "a\x1b[2Jb\nroot\thttps://idp.example.com\x9b"
    shown = invoke(config, "block", odd).stdout + invoke(config, "list").stdout + invoke(config, "unblock", odd).stdout
    assert "root" in shown
    assert all(character.isprintable() or character in "\t\n" for character in shown)
    assert shown.count("\n") == 3


def say(config: Path, *signals: Signal) -> None:
    async def put() -> None:
        store = open_configured_store(load_settings(config))
        try:
            await store.deliver(Delivery(receipt=None, signals=signals), now=time.time())
        finally:
            await store.close()

    asyncio.run(put())


def test_what_others_say_is_listed_and_a_disabled_account_can_be_let_in(config: Path) -> None:
    key = SignalKey("subject", ISSUER, "alice", "", "account", "idp")
    device = SignalKey("device", "", "laptop-1", "", "risk", "mdm")
    later = time.time() + 20
    say(config, Signal(key=key, level="disabled", reason="hijacking", at=later))
    say(config, Signal(key=device, level="HIGH", reason="no\tlock\nscreen", at=time.time()))
    of_device, of_alice = (line.split("\t") for line in invoke(config, "list").stdout.splitlines())
    assert (of_alice[:4], of_alice[5:]) == (
        ["alice", ISSUER, "signal", ""],
        ["for ever", "account", "disabled", "idp", "hijacking"],
    )
    assert (of_device[:4], of_device[6:9]) == (["laptop-1", "", "device-signal", ""], ["risk", "HIGH", "mdm"])
    (entry,) = said(config, "list", "alice")
    assert (entry["kind"], entry["name"], entry["level"], entry["until"]) == ("signal", "account", "disabled", None)
    assert invoke(config, "unblock", "alice").stdout == f"{ALICE}: unblocked\n"
    assert invoke(config, "unblock", "alice").stdout == f"{ALICE}: was not blocked\n"
    (entry,) = said(config, "list", "alice")
    assert (entry["level"], entry["reason"]) == ("enabled", "by hand")
