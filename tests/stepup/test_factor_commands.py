"""`extauthz factors` and `extauthz keys` as an operator uses them."""

import asyncio
import json
import os
import pty
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from stepup.proofs import SESSION, demand
from typer.testing import CliRunner

from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.check.proof.proving import NotProven, ProofOutcome, Proven, Proving
from extauthz.check.proof.totp import prove_totp
from extauthz.check.subjects import NobodyNamed
from extauthz.cli.factors import FactorRefused
from extauthz.cli.factors import app as factors
from extauthz.cli.keys import app as keys
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.stepup.enrolment import Invitation, open_invitation
from extauthz.stepup.keys import parse_keys
from extauthz.stepup.totp import code_at, step_at
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment
from extauthz.values.identity import Subject
from extauthz.values.instant import instant

ISSUER = "https://idp.example.com"
CONFIGURATION = f"""\
policies: [policies/]
identity:
  users:
    - {{name: idp, issuer: "{ISSUER}", audiences: [shop], jwks: jwks.json}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "extauthz.yaml"
    path.write_text(CONFIGURATION)
    return path


def call(*arguments: str, config: Path) -> str:
    """The output of `extauthz factors`; errors are raised."""
    result = CliRunner().invoke(
        factors, [arguments[0], "--config", str(config), *arguments[1:]], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def enroll_as_program(config: Path, user: str = "alice") -> tuple[dict[str, Any], pyotp.TOTP]:
    answer: dict[str, Any] = json.loads(call("enroll", user, "--format", "json", config=config))
    app = pyotp.parse_uri(answer["uri"])
    assert isinstance(app, pyotp.TOTP)
    return answer, app


def prove(config: Path, code: str, user: str = "alice") -> ProofOutcome:
    settings = load_settings(config)
    ring = load_keys(settings)

    async def proven() -> ProofOutcome:
        store = open_configured_store(settings)
        try:
            proving = Proving(
                store=store,
                keys=ring,
                subject=Subject(ISSUER, user),
                session=SESSION,
                holder="peer:x",
                credentials=(),
                demands=(demand(),),
                address="",
                now=time.time(),
                entropy=os.urandom,
            )
            return await prove_totp(proving, code)
        finally:
            await store.close()

    return asyncio.run(proven())


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


def invited(output: str, config: Path) -> tuple[str, Invitation]:
    """The address that was printed first, and what its link says."""
    address = output.splitlines()[0]
    parts = urlsplit(address)
    (text,) = parse_qs(parts.query)["ticket"]
    return f"{parts.scheme}://{parts.netloc}{parts.path}", open_invitation(text, load_keys(load_settings(config)))


def test_a_link_names_the_page_and_nobody(config: Path) -> None:
    before = time.time()
    output = call("enroll", "alice", "--link", "--base-url", "https://app.example.com/", config=config)
    page, invitation = invited(output, config)
    assert page == "https://app.example.com/.extauthz/enroll"
    assert "alice" not in output.splitlines()[0]
    assert (invitation.subject, invitation.grounds) == (Subject(ISSUER, "alice"), "administrator")
    assert 86_400 <= invitation.expires_at - before <= 86_500
    assert json.loads(call("list", "--format", "json", config=config)) == []


def test_a_link_leads_to_the_only_origin_that_asks_for_keys(config: Path) -> None:
    known = "stepup: {webauthn: {id: example.com, origins: [%s]}}\n"
    config.write_text(CONFIGURATION + known % '"https://app.example.com"')
    page, _ = invited(call("enroll", "alice", "--link", config=config), config)
    assert page == "https://app.example.com/.extauthz/enroll"
    config.write_text(CONFIGURATION + known % '"https://app.example.com", "https://b.example.com"')
    with pytest.raises(FactorRefused, match="needs --base-url"):
        call("enroll", "alice", "--link", config=config)


def test_a_link_for_programs_says_until_when(config: Path) -> None:
    arguments = ("--link", "--base-url", "https://localhost:8443", "--valid-for", "90m", "--format", "json")
    answer = json.loads(call("enroll", "alice", *arguments, config=config))
    assert set(answer) == {"sub", "issuer", "link", "expires"}
    _, invitation = invited(answer["link"], config)
    assert answer["expires"] == instant(invitation.expires_at)
    assert 5400 <= invitation.expires_at - time.time() + 60 <= 5460


def test_a_link_at_a_terminal_comes_with_a_picture(config: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "extauthz", "factors", "enroll", "alice", "--link"]
    process = subprocess.Popen(
        [*command, "--base-url", "https://app.example.com", "--config", str(config)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    try:
        while b"nobody else" not in seen:
            seen += os.read(controller, 65_536)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        os.close(controller)
    text = seen.decode()
    assert text.startswith("https://app.example.com/.extauthz/enroll?ticket=")
    assert "\u2584" in text or "\u2580" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--link",), "--link needs --base-url"),
        (("--base-url", "https://a.example"), "belongs to --link"),
        (("--link", "--confirm", "123456"), "two ways"),
        *(
            (("--link", "--base-url", url), "is no origin")
            for url in (
                "http://app.example.com",
                "https://app.example.com/path",
                "https://app.example.com?x",
                "https://u@app.example.com",
                "https://",
                "https://app.example.com:x",
                "app.example.com",
            )
        ),
        *(
            (("--link", "--base-url", "https://a.example", "--valid-for", time_), "--valid-for")
            for time_ in ("soon", "8d", "0s", "-1h")
        ),
    ],
)
def test_a_link_that_could_not_be_used_is_not_made(config: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(FactorRefused, match=message):
        call("enroll", "alice", *arguments, config=config)


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
