"""`extauthz grants` as an operator uses it, on a file and a Redis: what it lists, what it ends, what it refuses."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commanding import command
from listening import close, listening
from redises import RedisProcess
from typer.testing import CliRunner, Result

from extauthz.app.wiring import open_configured_store
from extauthz.check.subjects import NobodyNamed
from extauthz.cli.grants import app as grants
from extauthz.errors import ConfigurationError, StateUnavailable
from extauthz.identity.holders import session_of_sid
from extauthz.settings import load_settings
from extauthz.store import redis_calls
from extauthz.store.protocol import Redeemed, Redemption, SpentTicket
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

ISSUER = "https://idp.example.com"
ALICE, BOB = Subject(ISSUER, "alice"), Subject(ISSUER, "bob")
WEB = Subject("", "spiffe://prod.example.org/ns/shop/sa/web")
S1, S2 = session_of_sid(ISSUER, "s1"), "token:" + "ab" * 32


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")).start() as running:
        yield running


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs tests is busy: what puts grants into a Redis takes its time."""
    monkeypatch.setattr(redis_calls, "CALL_SECONDS", 20.0)


@pytest.fixture(params=["sqlite", "redis"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A configuration whose store has grants of three subjects."""
    store = "sqlite:///state.db"
    if request.param == "redis":
        running: RedisProcess = request.getfixturevalue("redis")
        with running.client() as client:
            client.flushall()
        store = running.url
    path = tmp_path / "extauthz.yaml"
    path.write_text(
        f"policies: [p/]\nstore: '{store}'\n"
        f"identity: {{users: [{{name: idp, issuer: '{ISSUER}', audiences: [shop], jwks: jwks.json}}]}}\n"
    )
    asyncio.run(fill(path))
    return path


async def fill(path: Path) -> None:
    now = time.time()
    store = open_configured_store(load_settings(path))
    kept = (
        (ALICE, S1, "payments/large", None),
        (ALICE, S1, "payments/once", 1),
        (ALICE, S2, "payments/large", None),
        (BOB, S1, "payments/large", None),
        (WEB, S2, "payments/large", None),
    )
    for number, (subject, session, rule, uses) in enumerate(kept):
        grant = Grant(
            id=f"g{number}",
            subject=subject,
            session=session,
            holder="peer:x",
            binding=f"action:{rule}",
            rule=rule,
            factor="otp",
            issued_at=now + number / 1000,
            expires_at=now + 300,
            uses=uses,
        )
        ticket = SpentTicket(id=f"t{number}", expires_at=now + 300)
        proof = Redemption(subject=subject, burn=None, grants=(grant,), ticket=ticket)
        assert await store.redeem(proof, now=now) is Redeemed.DONE
    await store.close()


def invoke(config: Path, command: str, *arguments: str) -> Result:
    result = CliRunner().invoke(grants, [command, "--config", str(config), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def said(config: Path, *arguments: str) -> Any:
    return json.loads(invoke(config, *arguments, "--format", "json").stdout)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ([], ["g0", "g1", "g2", "g3", "g4"]),
        (["--subject", "alice"], ["g0", "g1", "g2"]),
        (["--subject", "alice", "--issuer", ISSUER], ["g0", "g1", "g2"]),
        (["--subject", WEB.id], ["g4"]),
        (["--session", "s1"], ["g0", "g1", "g3"]),
        (["--session", S2], ["g2", "g4"]),
        (["--subject", "alice", "--session", "s1", "--rule", "payments/large"], ["g0"]),
        (["--rule", "payments/once"], ["g1"]),
        (["--subject", "nobody"], []),
    ],
)
def test_what_is_named_is_listed_and_what_is_revoked_is_gone(config: Path, named: list[str], meant: list[str]) -> None:
    assert [row["id"] for row in said(config, "list", *named)] == meant
    assert said(config, "revoke", *(named or ["--all"])) == {"revoked": len(meant)}
    assert [row["id"] for row in said(config, "list")] == [f"g{n}" for n in range(5) if f"g{n}" not in meant]


def test_of_a_redis_that_is_away_it_is_told_what_to_look_at(tmp_path: Path) -> None:
    config = tmp_path / "extauthz.yaml"
    config.write_text(f"policies: [policies]\nstore: redis+unix://{tmp_path}/nobody.sock\n")
    refused = CliRunner().invoke(grants, ["list", "--config", str(config)]).exception
    assert isinstance(refused, StateUnavailable)
    assert str(refused).startswith("store: redis+unix://")
    assert str(refused).endswith(
        f"nobody.sock: no such file or directory; is it running, and is `store` in {config} its address?"
    )


def test_why_a_redis_is_out_of_reach_is_told_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text("policies: [policies]\nstore: redis://127.0.0.1:1\n")
    ended = command("grants", "list", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "extauthz: store: redis://127.0.0.1:1: connection refused; is it running, and is `store` in extauthz.yaml its"
        " address?\n"
    )


def test_people_read_a_line_for_each_grant(config: Path) -> None:
    lines = invoke(config, "list", "--subject", "alice").stdout.splitlines()
    assert len(lines) == 3
    sub, issuer, rule, factor, issued, expires, uses, session = lines[1].split("\t")
    assert (sub, issuer, rule, factor, uses, session) == ("alice", ISSUER, "payments/once", "otp", "1", S1)
    assert issued < expires
    assert lines[0].split("\t")[6] == "any"
    assert invoke(config, "revoke", "--subject", "alice").stdout == "revoked 3 grants\n"
    nothing = invoke(config, "list", "--subject", "alice")
    assert (nothing.stdout, nothing.stderr) == ("", "no grants\n")


def test_a_session_at_an_issuer_that_is_not_there_is_refused(config: Path) -> None:
    with pytest.raises(NobodyNamed, match="no such issuer"):
        invoke(config, "list", "--session", "s1", "--issuer", "https://other.example")
    assert len(said(config, "list")) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["revoke"], "say what to revoke: name some of --subject, --session and --rule, or --all alone"),
        (["revoke", "--all", "--subject", "alice"], "--all alone"),
        (["list", "--subject", ""], "the user has no name"),
        (["list", "--subject", "spiffe://x/%"], "is no SPIFFE ID"),
        (["list", "--rule", "large"], "--rule: `large` is no name of a rule; write `POLICY/RULE`"),
        (["list", "--session", " "], "--session: has no name"),
        (["list", "--issuer", ISSUER], "--issuer: says whose"),
    ],
)
def test_options_that_can_mean_nothing_are_a_mistake_of_the_command_line(
    config: Path, arguments: list[str], message: str
) -> None:
    refused = command("grants", *arguments, folder=config.parent)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Usage: extauthz grants ")
    assert message in refused.stderr
    assert len(said(config, "list")) == 5


def test_a_store_inside_of_the_server_can_not_be_reached(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTAUTHZ_STORE", "memory:")
    with pytest.raises(ConfigurationError, match="inside of the server"):
        invoke(config, "list")


def test_a_subject_named_to_forge_rows_or_steer_a_terminal_makes_one_plain_row(config: Path) -> None:
    odd = Subject(ISSUER, "m\x1b[2J\nalice\thttps://idp.example.com\tpayments/large")
    grant = Grant(
        id="odd",
        subject=odd,
        session=S1,
        holder="peer:x",
        binding="action:p/r",
        rule="p/r",
        factor="otp",
        issued_at=time.time(),
        expires_at=time.time() + 300,
        uses=None,
    )

    async def prove() -> None:
        store = open_configured_store(load_settings(config))
        proof = Redemption(subject=odd, burn=None, grants=(grant,), ticket=SpentTicket(id="odd", expires_at=2e9))
        assert await store.redeem(proof, now=time.time()) is Redeemed.DONE
        await store.close()

    asyncio.run(prove())
    listed = CliRunner().invoke(grants, ["list", "--subject", odd.id, "--config", str(config)])
    (line,) = listed.stdout.splitlines()
    assert line.count("\t") == 7
    assert line.replace("\t", "").isprintable()


def test_an_operator_far_from_the_redis_can_still_revoke(tmp_path: Path) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65_536):
            await asyncio.sleep(0.1)
            writer.write(part)
        writer.close()

    async def revoke(path: Path, running: RedisProcess) -> Result:
        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_unix_connection(running.socket)
            try:
                await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
            finally:
                await close(far_writer)

        async with listening(connect) as port:
            arguments = ["revoke", "--all", "--config", str(path)]
            at = {"EXTAUTHZ_STORE": f"redis://127.0.0.1:{port}"}
            return await asyncio.to_thread(CliRunner().invoke, grants, arguments, env=at)

    (tmp_path / "extauthz.yaml").write_text("policies: [p/]\n")
    with RedisProcess(tmp_path / "redis").start() as running:
        revoked = asyncio.run(revoke(tmp_path / "extauthz.yaml", running))
    assert revoked.stdout == "revoked 0 grants\n"
    assert revoked.exit_code == 0
