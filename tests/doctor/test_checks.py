"""Single checks, for what a whole deployment does not show, and what holds for all of them."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest
from commanding import command
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from geoip import city
from ports import free_port

from extauthz.app.compiled import LIBRARY, is_compiled
from extauthz.app.doctor import files, issuers, policies, serving, stores
from extauthz.app.doctor.checks import Check, Line, Said, check, ok
from extauthz.app.doctor.clocks import apart_by, compared
from extauthz.app.doctor.deployment import Deployment, apart
from extauthz.app.doctor.run import CHECKS, run
from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.tokens import TokenIssuer
from extauthz.envoy.validate.configured_rules import Configured
from extauthz.policy.load import load
from extauthz.settings import load_settings

ROOT = Path(__file__).parents[2]
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: read, methods: [GET], when: has(user.sub), effect: allow, expires: "EXPIRES"}
"""


def deployment(folder: Path, configuration: str = "", *, now: float | None = None) -> Deployment:
    """One that is only configured, of which nothing runs."""
    config = folder / "extauthz.yaml"
    config.write_text(f"policies: [policy.yaml]\n{configuration}")
    settings = load_settings(config)

    def served() -> str:
        raise AssertionError

    return Deployment(
        config=config,
        settings=settings,
        envoy_admin=None,
        environ={},
        served=served,
        linted=lambda: (load(settings.policy_paths), ()),
        expected=Configured(),
        now=time.time if now is None else lambda: now,
    )


def said_by(one: Check, looked: Deployment, *, limit: float = 20.0) -> Sequence[Line]:
    return asyncio.run(run(looked, [one], limit=limit))


def verdicts(lines: Sequence[Line]) -> list[str]:
    return [one.verdict for one in lines]


def write_certificate(file: Path, *, until: datetime) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(until - timedelta(days=90)).not_valid_after(until)
    file.write_bytes(dated.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


@pytest.mark.parametrize(("suffix", "is_ours"), [(EXTENSION_SUFFIXES[0], True), (".of-another-python.so", False)])
def test_what_is_compiled_for_another_python_is_not_compiled(suffix: str, is_ours: bool, tmp_path: Path) -> None:
    (tmp_path / f"{LIBRARY}{suffix}").touch()
    assert is_compiled(tmp_path / "extauthz") is is_ours


@pytest.mark.parametrize(("compiled", "verdict"), [(True, "ok"), (False, "warning")])
def test_what_is_not_compiled_is_told(
    compiled: bool, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "is_compiled", lambda: compiled)
    (said,) = said_by(serving.server_compiled, deployment(tmp_path))
    assert said.verdict == verdict
    assert ("compiler of C" in said.do) == (verdict == "warning")


@pytest.mark.parametrize(
    ("days", "verdict", "told"),
    [(90, "ok", "1 certificate"), (20, "warning", "in 19 days"), (1, "problem", "in 0 days"), (-1, "problem", "ended")],
)
def test_a_certificate_that_ends_is_told_in_time(days: int, verdict: str, told: str, tmp_path: Path) -> None:
    write_certificate(tmp_path / "ca.pem", until=datetime.now(UTC) + timedelta(days=days))
    bundles = "identity: {workload: {sources: [peer_certificate], peer_certificate: {bundles: {example.org: ca.pem}}}}"
    (line,) = said_by(files.certificates, deployment(tmp_path, bundles))
    assert (line.verdict, told in line.seen) == (verdict, True), line


def test_a_rule_that_ends_soon_is_told(tmp_path: Path) -> None:
    for days, verdict in ((7, "warning"), (70, "ok")):
        ends = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        (tmp_path / "policy.yaml").write_text(POLICY.replace("EXPIRES", ends))
        assert verdicts(said_by(policies.policy_expiry, deployment(tmp_path))) == [verdict]


def test_an_old_key_is_told_and_one_that_waits_for_long(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys.json", replace=False)
    assert verdicts(said_by(files.keys, deployment(tmp_path))) == ["ok"]
    later = time.time() + 500 * 86_400
    assert verdicts(said_by(files.keys, deployment(tmp_path, now=later))) == ["warning"]
    ended = command("keys", "rotate", str(tmp_path / "keys.json"), "--after", "30d", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert verdicts(said_by(files.keys, deployment(tmp_path))) == ["ok", "warning"]


def test_a_database_of_places_that_is_old_or_broken_is_told(tmp_path: Path) -> None:
    geo = f"geo: {{city: {city()}}}\n"
    assert verdicts(said_by(files.addresses, deployment(tmp_path, geo, now=0.0))) == ["ok"]
    assert verdicts(said_by(files.addresses, deployment(tmp_path, geo, now=4e9))) == ["warning"]
    (tmp_path / "broken.mmdb").write_bytes(b"no database")
    broken = deployment(tmp_path, "geo: {city: broken.mmdb}\n")
    assert verdicts(said_by(files.addresses, broken)) == ["problem"]


def test_a_store_is_looked_at_without_a_change(tmp_path: Path) -> None:
    looked = deployment(tmp_path)
    assert verdicts(said_by(stores.store, looked)) == ["problem"], "there is none"
    assert not (tmp_path / "extauthz.db").exists()
    database = sqlite3.connect(tmp_path / "extauthz.db")
    database.execute("PRAGMA journal_mode=delete")
    database.execute("CREATE TABLE words (word TEXT)")
    database.executemany("INSERT INTO words VALUES (?)", [("x" * 500,)] * 500)
    database.commit()
    database.close()
    assert verdicts(said_by(stores.store, deployment(tmp_path))) == ["ok"]
    assert verdicts(said_by(stores.store_sqlite, deployment(tmp_path))) == ["warning"], "no write-ahead log"
    database = sqlite3.connect(tmp_path / "extauthz.db")
    database.execute("PRAGMA journal_mode=wal")
    database.close()
    before = sorted(tmp_path.iterdir())
    assert verdicts(said_by(stores.store_sqlite, deployment(tmp_path))) == ["ok"]
    assert sorted(tmp_path.iterdir()) == before, "nothing is left beside it"
    whole = (tmp_path / "extauthz.db").read_bytes()
    (tmp_path / "extauthz.db").write_bytes(whole[:8192] + bytes(range(256)) * 64 + whole[8192 + 256 * 64 :])
    assert "is damaged" in said_by(stores.store_sqlite, deployment(tmp_path))[-1].seen


@pytest.mark.parametrize(
    ("theirs", "ours", "ahead"),
    [((10, 11), (10.5, 10.6), 0), ((10, 11), (11.4, 12), -0.4), ((10, 11), (2, 3), 7), ((3, 3), (40, 41), -37)],
)
def test_how_far_a_clock_is_ahead(theirs: tuple[float, float], ours: tuple[float, float], ahead: float) -> None:
    assert apart_by(theirs, ours) == pytest.approx(ahead)


@pytest.mark.parametrize(
    "dated", ["soon", "", "Fri, 99 Jan 2027 08:02:00 GMT", "Fri, 15 Jan 99999999999999999999 08:02:00 GMT"]
)
def test_a_date_that_is_none_is_told_of(dated: str) -> None:
    (said,) = compared("the issuer", dated, (0.0, 1.0))
    assert said.seen == "the issuer tells no date that can be read"


@contextmanager
def publishing(document: str, *, ahead: float) -> Iterator[str]:
    """Somebody who publishes keys, and whose clock is ahead of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = document.encode()
            self.send_response_only(200)
            self.send_header("date", formatdate(time.time() + ahead, usegmt=True))
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks"
        finally:
            server.shutdown()
            thread.join()


def users(url: str) -> str:
    return f"identity: {{users: [{{name: idp, issuer: 'https://idp.example.com', audiences: [a], jwks: '{url}'}}]}}\n"


@pytest.mark.parametrize(("ahead", "verdict"), [(0, "ok"), (-20, "warning"), (90, "problem"), (-3600, "problem")])
def test_the_clock_of_an_issuer(ahead: float, verdict: str, tmp_path: Path) -> None:
    with publishing(TokenIssuer.create().jwks(), ahead=ahead) as url:
        looked = deployment(tmp_path, users(url))
        assert verdicts(said_by(issuers.clock_issuers, looked)) == [verdict]
        assert verdicts(said_by(issuers.issuer_keys, deployment(tmp_path, users(url)))) == ["ok"]


@pytest.mark.parametrize("document", ["", "{}", '{"keys": []}', "<html>", "[" * 5000])
def test_keys_that_are_none_are_told(document: str, tmp_path: Path) -> None:
    with publishing(document, ahead=0) as url:
        assert verdicts(said_by(issuers.issuer_keys, deployment(tmp_path, users(url)))) == ["problem"]


def test_keys_out_of_reach_are_told_and_no_clock(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/jwks"
    assert verdicts(said_by(issuers.issuer_keys, deployment(tmp_path, users(url)))) == ["problem"]
    assert verdicts(said_by(issuers.clock_issuers, deployment(tmp_path, users(url)))) == []


def test_no_check_takes_longer_than_it_may(tmp_path: Path) -> None:
    never = threading.Event()

    @check("sleeps", "")
    async def sleeps(_: Deployment) -> Sequence[Said]:
        await asyncio.sleep(3600)
        return [ok("")]

    @check("blocks", "")
    async def blocks(_: Deployment) -> Sequence[Said]:
        await apart(never.wait)
        return [ok("")]

    @check("fails", "")
    async def fails(_: Deployment) -> Sequence[Said]:
        raise RuntimeError("no")

    found = asyncio.run(run(deployment(tmp_path), [sleeps, blocks, fails], limit=0.05))
    never.set()
    assert [(one.check, one.verdict) for one in found] == [
        ("sleeps", "problem"),
        ("blocks", "problem"),
        ("fails", "problem"),
    ]


def test_no_secret_is_told(tmp_path: Path) -> None:
    password = "a-password-of-redis"
    config = tmp_path / "extauthz.yaml"
    (tmp_path / "policy.yaml").write_text(POLICY.replace("EXPIRES", "2100-01-01T00:00:00Z"))
    config.write_text(f"policies: [policy.yaml]\nstore: 'redis://:{password}@127.0.0.1:{free_port()}'\n")
    ended = command("doctor", "--config", str(config), folder=tmp_path)
    assert ended.returncode == 1
    assert "store: " in ended.stdout
    assert password not in ended.stdout + ended.stderr


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text("policies: [.]\n")
    ended = command("doctor", "--envoy-admin", "nowhere", folder=tmp_path)
    assert ended.returncode == 2
    assert "Invalid value for --envoy-admin: `nowhere` is no address; write " in ended.stderr


def test_what_several_checks_say_is_told_in_one_line_and_counted_for_each(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace("EXPIRES", "2099-01-01T00:00:00Z"))
    listen = ", ".join(f"{name}: 127.0.0.1:{free_port()}" for name in ("grpc", "web", "admin"))
    (tmp_path / "extauthz.yaml").write_text(f"policies: [policy.yaml]\nlisten: {{{listen}}}\n")
    nobody = f"unix:{tmp_path}/nobody.sock"
    ended = command("doctor", "--envoy-admin", nobody, folder=tmp_path)
    asked = [one.id for one in CHECKS if one.id.startswith("envoy") or one.id == "clock-envoy"]
    asked.remove("envoy-decision")  # nobody wants one
    (line,) = (one for one in ended.stdout.splitlines() if nobody in one)
    assert line.startswith(f"problem {', '.join(asked)}: {nobody}: no answer")
    told = json.loads(command("doctor", "--envoy-admin", nobody, "--format", "json", folder=tmp_path).stdout)
    assert [one["check"] for one in told["checks"] if nobody in one["seen"]] == asked
    assert ended.stdout.splitlines()[-1].startswith(f"{told['problems']} problems, ")


def test_the_page_lists_every_check() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{one.id}` | {one.about} |" for one in CHECKS]
    assert len({one.id for one in CHECKS}) == len(CHECKS)


def test_what_the_server_counts_is_what_is_looked_for() -> None:
    """A metric that was renamed would be found no more."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert all(f"`{one.metric}" in page for one in serving._ODD)
