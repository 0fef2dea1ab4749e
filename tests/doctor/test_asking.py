"""`extauthz doctor --ask`: a decision of a real server, as Envoy asks for it and through Envoy."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from commanding import Ended, command
from cryptography.hazmat.primitives.asymmetric import ec
from doctor.conftest import Patient
from e2e.stage import HOST
from jwt.algorithms import ECAlgorithm
from patience import comes
from ports import free_port
from serving import POLICY, end, start

from extauthz.cli.quickstart.certificates import create_authority
from extauthz.cli.quickstart.local_http import get

DECISIONS = ("server-decision", "envoy-decision")
NEEDS_STATE = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec: {rules: [{name: gold, paths: ["/gold"], when: attributes.crm.gold, effect: allow}]}
"""


def told(ended: Ended) -> list[tuple[str, str, str]]:
    """What is said of decisions: the check, its verdict, and what it has seen and advises."""
    assert ended.returncode in (0, 1), ended
    return [
        (one["check"], one["verdict"], f"{one['seen']}; {one['do']}")
        for one in json.loads(ended.stdout)["checks"]
        if one["check"] in DECISIONS
    ]


def asked(folder: Path, *arguments: str) -> tuple[str, str]:
    """The verdict on the one decision, and what is said of it."""
    ((check, verdict, said),) = told(command("doctor", "--format", "json", *arguments, folder=folder))
    assert check == "server-decision"
    return verdict, said


@contextmanager
def serving(folder: Path, transport: str = "grpcio", *, policy: str = "", **settings: Any) -> Iterator[int]:
    """A server, and the port at which it is asked."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "site.yaml").write_text(policy or POLICY.format(path="/one"))
    port = free_port()
    listen = {"grpc": f"127.0.0.1:{port}", "web": "127.0.0.1:0", "admin": "127.0.0.1:0", **settings.pop("listen", {})}
    configured = {"listen": listen, "policies": ["policies/"], "store": "memory:", **settings}
    (folder / "extauthz.yaml").write_text(json.dumps(configured))
    running = start(folder, transport)
    try:
        yield port
    finally:
        end(running)


def test_nothing_is_asked_unless_it_is_wanted(started: Patient) -> None:
    before = started.audit.read_bytes()
    ended = command("doctor", "--config", str(started.config), "--format", "json", folder=started.stage.folder)
    assert told(ended) == []
    assert b'"event":"decision"' not in started.audit.read_bytes()[len(before) :]


def test_the_server_decides_and_so_it_does_for_a_request_through_envoy(started: Patient) -> None:
    arguments = ("--ask", f"https://{HOST}/no-rule?x=1", "--through", started.stage.url())
    ended = command(
        *("doctor", "--config", str(started.config), "--format", "json", *arguments), folder=started.stage.folder
    )
    (check, verdict, said), (through, all_right, seen) = told(ended)
    assert (check, verdict, through, all_right) == ("server-decision", "ok", "envoy-decision", "ok")
    assert said.startswith(f"GET https://{HOST}/no-rule?x=1: deny with 401 (no-rule-allows), within ")
    assert f" of {json.loads(ready(started))['revision'][:19]}…" in said
    assert seen.startswith(f"GET https://{HOST}/no-rule?x=1: 401 within ")
    by_hand, by_envoy = said.partition(" as ")[2].split()[0], seen.partition("decided as ")[2].rstrip("; ")
    assert by_hand != by_envoy
    assert comes(lambda: all(id_ in started.audit.read_text() for id_ in (by_hand, by_envoy))), "they are recorded"


def ready(patient: Patient) -> bytes:
    return get(patient.stage.folder / "probes.sock", "/ready")[1]


def test_a_path_that_envoy_does_not_ask_about_is_told(started: Patient) -> None:
    arguments = ("--ask", f"https://{HOST}/.extauthz/", "--through", started.stage.url(), "--format", "json")
    ended = command("doctor", "--config", str(started.config), *arguments, folder=started.stage.folder)
    _, (check, verdict, said) = told(ended)
    assert (ended.returncode, check, verdict) == (1, "envoy-decision", "problem")
    assert "and without a decision of extauthz" in said


def test_nobody_listens_where_a_request_should_go_through(started: Patient) -> None:
    arguments = ("--ask", "/", "--through", f"127.0.0.1:{free_port()}", "--format", "json")
    ended = command("doctor", "--config", str(started.config), *arguments, folder=started.stage.folder)
    _, (check, verdict, said) = told(ended)
    assert (check, verdict) == ("envoy-decision", "problem")
    assert "is it Envoy's address for requests" in said


def test_a_rule_that_allows_is_named(transport: str, tmp_path: Path) -> None:
    with serving(tmp_path, transport):
        verdict, said = asked(tmp_path, "--ask", "/one")
    assert verdict == "ok"
    assert said.startswith("GET https://extauthz-doctor.invalid/one: allow by the rule `site/open`, within ")


def test_a_denial_for_want_of_something_is_a_problem(tmp_path: Path) -> None:
    source = {
        "name": "crm",
        "http": {"url": f"http://127.0.0.1:{free_port()}/{{path}}"},
        "ask": {"path": "request.method"},
        "fields": {"gold": "bool"},
        "on_failure": "deny",
    }
    with serving(tmp_path, policy=NEEDS_STATE, attributes=[source]):
        verdict, said = asked(tmp_path, "--ask", "/gold")
        assert verdict == "problem"
        assert "with 503" in said
        assert asked(tmp_path, "--ask", "/other")[0] == "ok"


def test_who_may_call_is_asked_with_a_certificate_that_may(transport: str, tmp_path: Path) -> None:
    authority = create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC))
    authority.issue_workload(tmp_path / "server", "spiffe://prod.example.org/ns/mesh/sa/extauthz")
    authority.issue_workload(tmp_path / "gateway", "spiffe://prod.example.org/ns/mesh/sa/gateway")
    callers = {"authorities": "ca.pem", "names": ["spiffe://prod.example.org/ns/mesh/sa/gateway"]}
    tls = {"certificate": "server.pem", "key": "server.key", "callers": callers}
    own = ("--ask-certificate", str(tmp_path / "gateway.pem"), "--ask-key", str(tmp_path / "gateway.key"))
    with serving(tmp_path, transport, listen={"tls": tls}):
        verdict, said = asked(tmp_path, "--ask", "/one", *own)
        assert verdict == "ok"
        assert "allow by the rule `site/open`" in said
        verdict, said = asked(tmp_path, "--ask", "/one")
        assert verdict == "problem"
        assert "callers" in said


@pytest.fixture
def token(tmp_path: Path) -> str:
    """Of a user whom the server knows by the keys beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "ES256", "use": "sig"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    claims = {"iss": "https://idp.example.com", "aud": "shop", "sub": "alice", "exp": int(time.time()) + 600}
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})


USERS = {"users": [{"name": "idp", "issuer": "https://idp.example.com", "audiences": ["shop"], "jwks": "jwks.json"}]}
ALICES = POLICY.format(path="/one").replace("allow}", "allow, when: user.sub == 'alice'}")


def test_it_is_asked_as_a_user_whose_credentials_are_handed_over(
    transport: str, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = tmp_path / "headers"
    headers.write_text(f"Authorization: Bearer {token}\r\n\nx-tier: gold\n")
    with serving(tmp_path, transport, policy=ALICES, identity=USERS):
        assert "deny with 401 (no-rule-allows)" in asked(tmp_path, "--ask", "/one")[1]
        verdict, said = asked(tmp_path, "--ask", "/one", "--ask-headers", str(headers))
        assert (verdict, "allow by the rule `site/open`" in said) == ("ok", True)
        assert token not in said
        monkeypatch.setenv("DOCTOR_HEADERS", f"authorization: Bearer {token}")
        assert "allow by the rule `site/open`" in asked(tmp_path, "--ask", "/one")[1]
        headers.write_text("authorization: Bearer a.b.c")
        assert "invalid-token" in asked(tmp_path, "--ask", "/one", "--ask-headers", str(headers))[1], "the file counts"


def test_headers_go_through_envoy_too(started: Patient, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("x-asked: 1\nx-asked: 2\n")
    arguments = ("--ask", f"https://{HOST}/no-rule", "--through", started.stage.url(), "--ask-headers", str(headers))
    ended = command(
        *("doctor", "--config", str(started.config), "--format", "json", *arguments), folder=started.stage.folder
    )
    (_, _, said), (_, _, seen) = told(ended)
    by_hand, by_envoy = said.partition(" as ")[2].split()[0], seen.partition("decided as ")[2].rstrip("; ")

    def asked_with(id_: str) -> bool:
        lines = (json.loads(line) for line in started.audit.read_text().splitlines(keepends=True) if line[-1] == "\n")
        found = [one["request"]["headers"] for one in lines if one.get("decision_id") == id_ and "request" in one]
        return any("x-asked" in one for one in found)

    assert comes(lambda: asked_with(by_hand) and asked_with(by_envoy))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("secret", "headers:1: no header; write `name: value` in each line"),
        ("a: 1\n\nsec ret: 2", "headers:3: no header"),
        (":path: /secret", "headers:1: no header"),
        ("a: sec\0ret", "headers:1: the value of `a` is not ASCII text"),
        ("Host: secret.example", "headers:1: `host` is said by what is asked, and by whom"),
        ("user-agent: secret", "`user-agent` is said by what is asked"),
        ("a: " + "secret" * 20_000, "longer than 65536 characters"),
    ],
)
def test_what_is_no_header_is_told_without_repeating_it(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "headers").write_text(content)
    ended = command("doctor", "--ask", "/", "--ask-headers", "headers", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert "secret" not in ended.stderr.replace("secret.example", "")


def test_a_file_of_headers_that_can_not_be_read_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"a: \xff")
    for name, message in (
        ("none", "no such file"),
        ("pipe", "not a regular file"),
        ("latin", "the headers are not ASCII text"),
    ):
        ended = command("doctor", "--ask", "/", "--ask-headers", name, folder=tmp_path)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        assert message in ended.stderr


@pytest.mark.parametrize(
    ("through", "is_refused"),
    [
        ("https://gateway.example.com:443", True),
        ("192.0.2.1:443", True),
        ("http://127.0.0.1.example.com:80", True),
        ("http://127.0.0.1:1", False),
        ("[::1]:1", False),
        ("https://localhost:1", False),
        ("http://0.0.0.0:1", False),
        ("unix:/run/nobody.sock", False),
    ],
)
def test_headers_stay_on_this_machine(through: str, is_refused: bool, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("authorization: Bearer x")
    ended = command("doctor", "--ask", "/", "--through", through, "--ask-headers", "headers", folder=tmp_path)
    assert ended.returncode == (2 if is_refused else 1)
    assert ("would send your headers to another machine" in ended.stderr) is is_refused


def test_a_server_that_is_gone_decides_nothing(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    verdict, said = asked(tmp_path, "--ask", "/one")
    assert verdict == "problem"
    assert "connection refused; is the server running" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ask", "orders"), "`orders` is neither a path nor a URL; write `/orders`"),
        (("--ask", "/a b"), "is neither a path nor a URL"),
        (("--ask", "http://["), "is neither a path nor a URL"),
        (("--ask", ""), "is neither a path nor a URL"),
        (("--through", "http://127.0.0.1:1"), "--through: say what to ask about: `--ask PATH`"),
        (("--ask", "/", "--through", "nowhere"), "--through: `nowhere` is no address; write `http://127.0.0.1:8443`"),
        (("--ask-headers", "a"), "--ask-headers: say what to ask about: `--ask PATH`"),
        (("--ask-certificate", "a.pem", "--ask-key", "a.key"), "--ask-certificate: say what to ask about"),
        (("--ask", "/", "--ask-key", "a.key"), "a certificate and its key go together"),
    ],
)
def test_what_can_not_be_asked_is_a_mistake_of_the_command_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    ended = command("doctor", *arguments, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
