"""`extauthz factors` as an operator uses it."""

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pyotp
import pytest
from stepup.enrolling import CONFIGURATION, ISSUER, call, enroll_as_program, prove

from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.check.proof.proving import NotProven, Proven
from extauthz.check.subjects import NobodyNamed
from extauthz.cli.factors import FactorRefused
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.stepup.totp import code_at, step_at
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment
from extauthz.values.identity import Subject


def test_a_program_can_use_the_factor_at_once(config: Path) -> None:
    answer, app = enroll_as_program(config)
    assert (answer["sub"], answer["issuer"], answer["confirmed"]) == ("alice", ISSUER, True)
    assert isinstance(prove(config, app.now()), Proven)


def test_the_secret_is_not_in_the_file(config: Path) -> None:
    _, app = enroll_as_program(config)
    content = b"".join(path.read_bytes() for path in config.parent.glob("extauthz.db*"))
    assert app.secret.encode() not in content
    assert app.byte_secret() not in content


def test_a_person_confirms_with_a_first_code(config: Path) -> None:
    output = call("enroll", "alice", config=config)
    uri, hint = output.splitlines()
    assert "--confirm CODE" in hint
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    assert prove(config, app.now()) == NotProven(reason="not-enrolled")
    with pytest.raises(FactorRefused, match="code is not right"):
        call("enroll", "alice", "--confirm", "000000", config=config)
    code = app.now()
    assert "in force" in call("enroll", "alice", "--confirm", code, config=config)
    assert prove(config, code) == NotProven(reason="code-used")
    assert isinstance(prove(config, app.at(int(time.time()) + 30)), Proven)


def test_a_person_at_a_terminal_scans_a_code_and_is_asked(config: Path) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from extauthz.cli import main; main()"),
            *("factors", "enroll", "alice", "--config", str(config)),
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    try:
        while b"First code" not in seen:
            seen += os.read(controller, 65_536)
        uri = next(line for line in seen.decode().splitlines() if line.startswith("otpauth://"))
        app = pyotp.parse_uri(uri)
        assert isinstance(app, pyotp.TOTP)
        os.write(controller, b"000000\n")
        while seen.count(b"First code") < 2:
            seen += os.read(controller, 65_536)
        os.write(controller, app.now().encode() + b"\n")
        while b"in force" not in seen:
            seen += os.read(controller, 65_536)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    assert "▀" in seen.decode() or "▄" in seen.decode()
    assert "code is not right" in seen.decode()


def test_a_second_enrolment_replaces_what_was_never_confirmed(config: Path) -> None:
    call("enroll", "alice", config=config)
    _, app = enroll_as_program(config)
    assert len(json.loads(call("list", "alice", "--format", "json", config=config))) == 1
    assert isinstance(prove(config, app.now()), Proven)


def test_a_factor_in_force_is_not_replaced_in_passing(config: Path) -> None:
    enroll_as_program(config)
    with pytest.raises(FactorRefused, match="factors reset alice"):
        call("enroll", "alice", config=config)


def test_nothing_pending_is_nothing_to_confirm(config: Path) -> None:
    with pytest.raises(FactorRefused, match="nothing to confirm"):
        call("enroll", "alice", "--confirm", "123456", config=config)


def test_factors_are_listed_without_their_secrets(config: Path) -> None:
    _, app = enroll_as_program(config)
    call("enroll", "bob", config=config)
    text = call("list", config=config)
    assert [line.split("\t")[0::3] for line in text.splitlines()] == [["alice", "in force"], ["bob", "not confirmed"]]
    rows = json.loads(call("list", "--format", "json", config=config))
    assert [(row["sub"], row["confirmed"]) for row in rows] == [("alice", True), ("bob", False)]
    assert app.secret not in text + json.dumps(rows)
    assert json.loads(call("list", "carol", "--format", "json", config=config)) == []


def test_a_reset_ends_the_factor_and_its_proofs(config: Path) -> None:
    _, app = enroll_as_program(config)
    assert isinstance(prove(config, app.now()), Proven)
    answer = json.loads(call("reset", "alice", "--format", "json", config=config))
    assert answer == {"sub": "alice", "issuer": ISSUER, "removed": 1}
    assert prove(config, app.now()) == NotProven(reason="not-enrolled")
    assert "`alice` at https://idp.example.com: had no factor; " in call("reset", "alice", config=config)


def test_an_issuer_must_be_one_that_is_configured_and_named_if_there_are_several(config: Path) -> None:
    with pytest.raises(NobodyNamed, match="no such issuer"):
        call("enroll", "alice", "--issuer", "https://other.example", config=config)
    config.write_text(
        CONFIGURATION + '    - {name: two, issuer: "https://two.example", audiences: [shop], jwks: jwks.json}\n'
    )
    with pytest.raises(NobodyNamed, match="--issuer"):
        call("enroll", "alice", config=config)
    call("enroll", "alice", "--issuer", "https://two.example", config=config)


def test_without_users_there_is_nobody_to_enroll(config: Path) -> None:
    config.write_text("policies: [policies/]\n")
    with pytest.raises(NobodyNamed, match="none is configured"):
        call("enroll", "alice", config=config)


def test_a_store_inside_of_the_server_can_not_be_reached(config: Path) -> None:
    config.write_text(CONFIGURATION + 'store: "memory:"\n')
    with pytest.raises(ConfigurationError, match="inside of the server"):
        call("list", config=config)


def test_a_store_without_its_folder_is_told_with_the_folder(config: Path) -> None:
    config.write_text(CONFIGURATION + "store: sqlite:///state/extauthz.db\n")
    with pytest.raises(ConfigurationError, match=f"^store: the folder `{config.parent}/state` is not there; make it"):
        call("list", config=config)


def test_recovery_codes_are_one_row_with_how_many_are_left(config: Path) -> None:
    enroll_as_program(config)
    settings = load_settings(config)
    alice = Subject(ISSUER, "alice")
    made = [
        seal_factor(
            b"digest",
            subject=alice,
            confirmed=True,
            keys=load_keys(settings),
            now=time.time(),
            entropy=os.urandom,
            kind="recovery",
        )
        for _ in range(3)
    ]

    async def add() -> None:
        store = open_configured_store(settings)
        await store.enroll(Enrolment(subject=alice, factors=tuple(made)), now=time.time())
        await store.rename_factor(alice, (await store.factors(alice))[0].id, "My\tphone", now=time.time())
        await store.close()

    asyncio.run(add())
    app, codes = json.loads(call("list", "alice", "--format", "json", config=config))
    assert (app["factor"], app["name"], "left" in app) == ("totp", "My\tphone", False)
    assert (codes["factor"], codes["left"], codes["id"]) == ("recovery", 3, None)
    lines = call("list", config=config).splitlines()
    assert [line.split("\t")[2:4] for line in lines] == [["totp", "in force"], ["recovery", "3 left"]]
    assert lines[0].endswith("\tMy\N{REPLACEMENT CHARACTER}phone")
    call("reset", "alice", config=config)
    assert json.loads(call("list", "--format", "json", config=config)) == []


def test_what_waits_on_the_page_is_not_confirmed_at_a_terminal(config: Path) -> None:
    """A code confirms there together with its link, which is good once."""
    settings = load_settings(config)
    alice = Subject(ISSUER, "alice")
    secret = os.urandom(20)
    waiting = seal_factor(
        secret,
        subject=alice,
        confirmed=False,
        keys=load_keys(settings),
        now=time.time(),
        entropy=os.urandom,
        public="invitation",
    )

    async def add() -> None:
        store = open_configured_store(settings)
        await store.enroll(Enrolment(subject=alice, factors=(waiting,)), now=time.time())
        await store.close()

    asyncio.run(add())
    code = code_at(secret, step_at(time.time()))
    with pytest.raises(FactorRefused, match="nothing to confirm"):
        call("enroll", "alice", "--confirm", code, config=config)
