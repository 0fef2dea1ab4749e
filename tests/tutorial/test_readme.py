"""What the README tells a reader to write and to run, "Put it before your own service", works as it stands there."""

import re
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from app.conftest import serve
from consoles import Shell
from serving import Serve

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.cli.quickstart.layout import prepare
from extauthz.transport.grpcio import SERVICE
from extauthz.wire.compose import check_request

__all__ = ["serve"]

README = (Path(__file__).parents[2] / "README.md").read_text()
SHOP = "spiffe://prod.example.org/ns/shop/sa/web"


def block(part: str) -> str:
    """The one fenced block that holds this."""
    (found,) = (
        text for text in re.findall(r"^ *```\w*\n(.*?)^ *```$", README, re.DOTALL | re.MULTILINE) if part in text
    )
    return textwrap.dedent(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the README."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "payments.yaml").write_text(block("kind: Policy"))
    (tmp_path / "extauthz.yaml").write_text(block("jwks: jwks.json"))
    return tmp_path


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    shell = Shell(folder, {})
    yield shell
    shell.close()


def test_a_trial_key_and_token_are_made_as_the_readme_says_and_the_example_takes_them(
    folder: Path, shell: Shell, serve: Serve
) -> None:
    for name in ("mallory", "alice"):  # the key of the second is in force
        code, printed = shell.run(block('jwks.json", "w"').replace(".venv/bin/python", sys.executable).strip())
        assert (code, printed.strip()) == (0, "")
        if name == "mallory":
            (folder / "alice.jwt").rename(folder / "mallory.jwt")
    tokens = {name: (folder / f"{name}.jwt").read_text().strip() for name in ("alice", "mallory")}
    served = serve(**{f"EXTAUTHZ_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "WEB", "ADMIN")})

    def status(amount: int, token: str) -> int:
        path = f"/v1/accounts/a1/transfers?amount={amount}"
        headers = {"authorization": f"Bearer {token}"}
        check = check_request(host="payments.example.com", method="POST", path=path, headers=headers, principal=SHOP)
        with grpc.insecure_channel(served.said["grpc"]) as channel:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
            answer = CheckResponse.FromString(ask(check, timeout=5))
        return answer.denied_response.status.code if answer.status.code else 200

    assert [status(5, tokens["alice"]), status(5, tokens["mallory"])] == [200, 401]
    assert status(5000, tokens["alice"]) == 401  # a challenge


def test_the_demo_leaves_the_certificates_that_the_readme_names(tmp_path: Path) -> None:
    named = re.search(r'DEMO_ARGS="--dir trial"` leaves certificates for it in `trial/`: (.*)\.$', README, re.MULTILINE)
    assert named is not None
    (tmp_path / "t").mkdir()
    prepare(tmp_path / "t", now=datetime.now(UTC))
    assert {path.name for path in (tmp_path / "t").iterdir()} >= set(re.findall(r"`(.*?)`", named[1]))
