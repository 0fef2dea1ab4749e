"""TLS on the address for Checks: who gets an answer, on both transports."""

import json
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from serving import POLICY, Served, end, start

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.cli.quickstart.certificates import Authority, Pair, create_authority
from extauthz.errors import ConfigurationError
from extauthz.transport.methods import CHECK
from extauthz.transport.tls import Tls
from extauthz.wire.compose import check_request

GATEWAY = "spiffe://prod.example.org/ns/mesh/sa/gateway"
OTHER = "spiffe://prod.example.org/ns/mesh/sa/gateway2"
EDGES = "spiffe://prod.example.org/edge/*/gateway"


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    """A configuration whose server has a certificate for localhost."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "tls").mkdir()
    authority.issue_server(tmp_path / "tls" / "server")
    return tmp_path


def configure(folder: Path, *, callers: bool) -> None:
    tls: dict[str, object] = {"certificate": "tls/server.pem", "key": "tls/server.key"}
    if callers:
        tls["callers"] = {"authorities": "ca.pem", "names": [GATEWAY, "gateway.example.com", EDGES]}
    listen = {"grpc": "127.0.0.1:0", "web": "127.0.0.1:0", "admin": "127.0.0.1:0", "tls": tls}
    (folder / "extauthz.yaml").write_text(json.dumps({"listen": listen, "policies": ["policies/"], "store": "memory:"}))


@pytest.fixture
def served(folder: Path, transport: str, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server; whether only some callers are let in is the test's parameter."""
    configure(folder, callers=request.param)
    running = start(folder, transport)
    yield running
    end(running)


def connected(served: Served, trust: Path | None, pair: Pair | None = None) -> grpc.Channel:
    """A connection of a caller with this certificate."""
    port = served.said["grpc"].rpartition(":")[2]
    if trust is None:
        return grpc.insecure_channel(f"127.0.0.1:{port}")
    credentials = grpc.ssl_channel_credentials(
        trust.read_bytes(),
        pair.key.read_bytes() if pair is not None else None,
        pair.certificate.read_bytes() if pair is not None else None,
    )
    return grpc.secure_channel(f"localhost:{port}", credentials, [("grpc.use_local_subchannel_pool", 1)])


def refusal(
    served: Served, trust: Path, pair: Pair, metadata: Sequence[tuple[str, str]]
) -> tuple[grpc.StatusCode, str | None]:
    """The status of a Check that gets no answer."""
    with connected(served, trust, pair) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        with pytest.raises(grpc.RpcError) as caught:
            check(check_request(host="example.com", path="/one"), metadata=tuple(metadata), timeout=10)
    return caught.value.code(), caught.value.details()


def answered(served: Served, trust: Path | None, pair: Pair | None = None) -> bool:
    """Whether a caller with this certificate gets an answer."""
    with connected(served, trust, pair) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        try:
            response = CheckResponse.FromString(check(check_request(host="example.com", path="/one"), timeout=10))
        except grpc.RpcError:
            return False
    assert response.status.code == 0
    return True


def serial(served: Served) -> int:
    """Of the certificate that the server shows now."""
    host, _, port = served.said["grpc"].rpartition(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


@pytest.mark.parametrize("served", [False], indirect=True)
def test_any_caller_is_answered_over_tls_alone(served: Served, authority: Authority) -> None:
    assert answered(served, authority.certificate)
    assert not answered(served, None)


@pytest.mark.parametrize("served", [True], indirect=True)
def test_callers_are_answered_by_the_names_in_their_certificates(
    served: Served, folder: Path, authority: Authority
) -> None:
    good = authority.issue_workload(folder / "gateway", GATEWAY)
    edge = authority.issue_workload(folder / "edge", "spiffe://prod.example.org/edge/eu-1/gateway")
    deeper = authority.issue_workload(folder / "deeper", "spiffe://prod.example.org/edge/eu/1/gateway")
    two = authority.issue(folder / "two", common_name="x", uris=[GATEWAY, OTHER])
    dots = authority.issue_workload(folder / "dots", "spiffe://prod.example.org/edge/../gateway")
    in_subject = authority.issue(
        folder / "in-subject", common_name=GATEWAY, dns=["gateway.example.com.evil.example.org"]
    )
    by_host = authority.issue(folder / "by-host", common_name="x", dns=["gateway.example.com"], addresses=[])
    other = authority.issue_workload(folder / "other", OTHER)
    elsewhere = create_authority(folder / "other-ca.pem", common_name="other", now=datetime.now(UTC))
    stranger = elsewhere.issue_workload(folder / "stranger", GATEWAY)
    outcome = {
        name: answered(served, trust, pair)
        for name, trust, pair in [
            ("named", authority.certificate, good),
            ("named by host", authority.certificate, by_host),
            ("named by a pattern", authority.certificate, edge),
            ("one segment too many", authority.certificate, deeper),
            ("dots for a segment", authority.certificate, dots),
            ("two names, one of them good", authority.certificate, two),
            ("a name in the subject", authority.certificate, in_subject),
            ("another name", authority.certificate, other),
            ("another authority", authority.certificate, stranger),
            ("no certificate", authority.certificate, None),
            ("no TLS", None, None),
        ]
    }
    assert outcome == {
        "named": True,
        "named by host": True,
        "named by a pattern": True,
        "one segment too many": False,
        "dots for a segment": False,
        "two names, one of them good": False,
        "a name in the subject": False,
        "another name": False,
        "another authority": False,
        "no certificate": False,
        "no TLS": False,
    }


@pytest.mark.parametrize("served", [True], indirect=True)
def test_a_stranger_is_counted_each_time_and_told_of_once(
    served: Served, folder: Path, authority: Authority, transport: str
) -> None:
    """Two URIs are what the handshake of neither transport can refuse."""
    two = authority.issue(folder / "two", common_name="x", uris=[GATEWAY, OTHER])
    said = ("x-extauthz-caller", f"{GATEWAY};-")  # which only our own Envoy may say
    for own in ((), (said,), (said, said)):
        status = refusal(served, authority.certificate, two, own)
        assert status == (grpc.StatusCode.PERMISSION_DENIED, "not a caller that `listen.tls.callers` names")
    assert served.metric(f'extauthz_callers_refused_total{{transport="{transport}"}}') == 3
    served.process.terminate()
    served.next_event("stopped")
    told = [line for line in served.heard if line["event"] == "caller-refused"]
    assert [(line["names"], line["setting"]) for line in told] == [(f"{GATEWAY}, {OTHER}", "listen.tls.callers")]


@pytest.mark.parametrize("served", [False], indirect=True)
def test_a_new_certificate_is_shown_without_a_restart(served: Served, folder: Path, authority: Authority) -> None:
    before = serial(served)
    new = authority.issue_server(folder / "new")
    new.key.rename(folder / "tls" / "server.key")
    new.certificate.rename(folder / "tls" / "server.pem")
    until = time.monotonic() + 30
    while serial(served) == before and time.monotonic() < until:
        time.sleep(0.05)
    assert serial(served) != before
    assert answered(served, authority.certificate)


@pytest.mark.parametrize("place", ["certificate", "key"])
def test_a_file_that_opens_and_can_not_be_read_is_told_of(folder: Path, place: str) -> None:
    """Files change under a server that serves: whoever reads them anew takes this for one that is being replaced."""
    files = {"certificate": folder / "tls" / "server.pem", "key": folder / "tls" / "server.key"}
    files[place] = Path("/proc/self/mem")  # its first page is nobody's
    tls = Tls(setting="listen.tls", **files, authorities=None, names=frozenset())
    with pytest.raises(ConfigurationError, match=r"listen\.tls: a file can't be read: "):
        tls.read()
