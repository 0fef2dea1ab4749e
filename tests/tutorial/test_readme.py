"""What the README tells a reader to write and to run, "Put it before your own service", works as it stands there."""

import re
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from app.conftest import serve
from consoles import Shell
from e2e.conftest import missing
from e2e.services import http_service
from e2e.stage import START_SECONDS
from serving import Serve

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.cli.quickstart.envoy import Admin, envoy_command, find_envoy
from extauthz.cli.quickstart.layout import prepare
from extauthz.cli.quickstart.processes import Processes
from extauthz.errors import ConfigurationError
from extauthz.transport.methods import SERVICE
from extauthz.wire.compose import check_request

__all__ = ["serve"]


@pytest.fixture
def transport() -> str:
    """What the README starts."""
    return "grpcio"


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
        code, printed = shell.run(block('jwks.json", "w"').strip())
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


def test_the_call_of_the_readme_gets_through_the_envoy_and_with_the_certificates_that_it_names(
    folder: Path, shell: Shell, serve: Serve
) -> None:
    try:
        binary = find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    named = re.search(r"leaves certificates in `trial/`: (.*?)\. With", README, re.DOTALL)
    assert named is not None
    code, _ = shell.run(block('jwks.json", "w"').strip())
    assert code == 0
    served = serve(**{f"EXTAUTHZ_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "WEB", "ADMIN")})
    with ExitStack() as stack:
        # Not pytest's tmp_path: the name of a socket must be short.
        short = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(short, now=datetime.now(UTC))
        (folder / "trial").symlink_to(short)
        assert {path.name for path in short.iterdir()} >= set(re.findall(r"`(\w+\.\w+)`", named[1]))
        service = stack.enter_context(http_service())
        write, run = block("extauthz envoy config gateway").replace("\\\n", "").splitlines()
        assert run == "envoy -c gateway.yaml"
        for readme, here in (
            ("127.0.0.1:8443", "127.0.0.1:0"),
            ("127.0.0.1:8080", f"127.0.0.1:{service.port}"),
            ("--admin none", f"--admin unix:{short}/admin.sock --timeout 5s"),
            (
                "--config extauthz.yaml",
                f"--config extauthz.yaml --extauthz {served.said['grpc']} --pages {served.said['web']}",
            ),
        ):
            assert readme in write
            write = write.replace(readme, here)
        code, printed = shell.run(write)
        assert (code, printed.strip()) == (0, "")
        processes = stack.enter_context(Processes())
        command = envoy_command(binary, folder / "gateway.yaml")
        envoy = processes.start("envoy", command, log=short / "envoy.log", folder=folder)
        admin = Admin(short / "admin.sock")
        envoy.wait_until(admin.ready, seconds=START_SECONDS)
        call = block("curl --include").strip().replace("localhost:8443", f"localhost:{admin.port('https')}")
        for change, wanted in (
            (("", ""), "200"),
            (("amount=5", "amount=5000"), "401"),
            ((' --header "authorization: Bearer $(cat alice.jwt)"', ""), "403"),
        ):
            code, printed = shell.run(call.replace(*change))
            assert (code, re.findall(r"^HTTP/2 (\d+)", printed, re.MULTILINE)) == (0, [wanted]), printed
            assert "x-extauthz-decision-id: " in printed
        assert [one.target for one in service.received] == ["/v1/accounts/a1/transfers?amount=5"]
