"""Sessions of TLS that a caller takes up again, on both transports: they let in nobody who would not get in anew."""

import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from serving import POLICY, Served, end, start
from transport.raw_calls import Call, call_over, framed

from extauthz.cli.quickstart.certificates import VALIDITY, Authority, Pair, create_authority
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.wire.compose import check_request

GATEWAY = "spiffe://prod.example.org/ns/mesh/sa/gateway"
OTHER = "spiffe://prod.example.org/ns/mesh/sa/other"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SHORT = timedelta(seconds=8)
"""For how long the certificate is good of a caller who comes again later."""


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    """A configuration whose server has a certificate for localhost, and answers one caller."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "tls").mkdir()
    authority.issue_server(tmp_path / "tls" / "server")
    callers = {"authorities": "ca.pem", "names": [GATEWAY]}
    tls = {"certificate": "tls/server.pem", "key": "tls/server.key", "callers": callers}
    listen = {"grpc": "127.0.0.1:0", "web": "127.0.0.1:0", "admin": "127.0.0.1:0", "tls": tls}
    (tmp_path / "extauthz.yaml").write_text(
        json.dumps({"listen": listen, "policies": ["policies/"], "store": "memory:"})
    )
    return tmp_path


@pytest.fixture
def served(folder: Path, transport: str) -> Iterator[Served]:
    running = start(folder, transport)
    yield running
    end(running)


class Caller:
    """Somebody with a certificate, who keeps the sessions that he is given."""

    def __init__(self, served: Served, trust: bytes, pair: Pair, version: ssl.TLSVersion) -> None:
        self._address = ("127.0.0.1", int(served.said["grpc"].rpartition(":")[2]))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.load_verify_locations(cadata=trust.decode())
        self._context.minimum_version = self._context.maximum_version = version
        self._context.set_alpn_protocols(["h2"])
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._session: ssl.SSLSession | None = None

    def is_answered(self) -> bool:
        """Whether a Check is, by a session that is taken up again if there is one."""
        message = framed(check_request(host="example.com", path="/one"))
        try:
            with (
                socket.create_connection(self._address, timeout=10) as connection,
                self._context.wrap_socket(connection, server_hostname="localhost", session=self._session) as line,
            ):
                outcome = call_over(line, Call(pieces=[message]))
                self._session = line.session  # with TLS 1.3 it comes after the handshake
        except (ssl.SSLError, ConnectionError):
            return False
        return outcome.status == 0 and bool(outcome.messages)


def test_nobody_gets_in_by_a_session_whose_certificate_does_not(
    served: Served, authority: Authority, folder: Path
) -> None:
    trust = authority.certificate.read_bytes()
    before = replace(authority, now=datetime.now(UTC) - VALIDITY + SHORT)
    expires = time.monotonic() + SHORT.total_seconds()
    pairs = {
        "expires": before.issue_workload(folder / "expires", GATEWAY),
        "another": authority.issue_workload(folder / "another", OTHER),
        "lasts": authority.issue_workload(folder / "lasts", GATEWAY),
    }
    callers = {
        (name, version.name): Caller(served, trust, pair, version)
        for name, pair in pairs.items()
        for version in VERSIONS
    }

    def answered() -> set[str]:
        """Those who are over each version of TLS, and, if that differs, over which."""
        found = {one for one, caller in callers.items() if caller.is_answered()}
        names = {name for name, _ in found}
        return {name if {(name, one.name) for one in VERSIONS} <= found else f"{name}: half" for name in names}

    assert answered() == {"expires", "lasts"}
    assert answered() == {"expires", "lasts"}
    time.sleep(max(expires + 1 - time.monotonic(), 0))
    assert answered() == {"lasts"}
    create_authority(folder / "new.pem", common_name="new", now=datetime.now(UTC))
    (folder / "new.pem").rename(folder / "ca.pem")
    until = time.monotonic() + 30
    while answered() and time.monotonic() < until:
        time.sleep(0.05)
    assert answered() == set()


def test_what_is_no_certificate_and_its_key_is_told_and_waited_for_by_nobody(folder: Path) -> None:
    tls = load_settings(folder / "extauthz.yaml").tls
    assert tls is not None
    good = tls.read()
    assert len(good) == 3
    assert tls.read(good) == good
    locked = serialization.load_pem_private_key(good[1], None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"somebody would be asked for it"),
    )
    tls.key.write_bytes(locked)
    with pytest.raises(ConfigurationError, match=r"^listen\.tls: `.*` and `.*` are no certificate and its key, in PEM"):
        tls.read()
    tls.key.unlink()
    with pytest.raises(ConfigurationError, match=r"^listen\.tls: can't read `.*server\.key`: no such file"):
        tls.read(good)
    os.mkfifo(tls.key)
    with pytest.raises(ConfigurationError, match=r"^listen\.tls: can't read `.*server\.key`: not a regular file"):
        tls.read()
    tls.key.unlink()
    tls.key.mkdir()
    with pytest.raises(ConfigurationError, match=r"^listen\.tls: can't read `.*server\.key`: is a directory"):
        tls.read()
