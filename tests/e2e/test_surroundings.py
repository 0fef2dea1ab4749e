"""What a real Envoy says beside the request: headers in both forms, the TLS session, the certificate, metadata, TCP."""

import hashlib
import socket
import ssl

import pytest
from e2e.readings import Answer, Readings
from e2e.stage import SHOP

HEADERS = "headers.example.com"
CI = "spiffe://prod.example.org/ns/shop/sa/batch"


def _get(readings: Readings, path: str, *headers: str | bytes, listener: str = "plain") -> Answer:
    return readings.ask([f"GET {path} HTTP/1.1", f"host: {HEADERS}", *headers], listener=listener)


# --- headers in both forms


def test_the_raw_form_keeps_lines_apart_that_the_other_one_joins(readings: Readings) -> None:
    lines = ("x-list: a", "x-list: b, c", "X-List:")
    assert _get(readings, "/lines", *lines).told("x-lines") == "a|b, c|"
    assert _get(readings, "/lines", *lines, listener="joined").told("x-lines") == "a,b, c,"


@pytest.mark.parametrize("listener", ["plain", "joined"])
@pytest.mark.parametrize("value", ["a", "a, b", '"a,b"', "é", "x" * 9_000])
def test_one_line_is_read_alike_in_both_forms(readings: Readings, listener: str, value: str) -> None:
    told = _get(readings, "/lines", f"x-list: {value}", listener=listener).told("x-lines")
    assert (told or "").encode("latin-1") == value.encode()


def test_a_repeated_header_can_be_read_as_one_only_where_nobody_can_tell(readings: Readings) -> None:
    assert _get(readings, "/one", "x-list: a").status == 200
    assert _get(readings, "/one", "x-list: a", "x-list: b").reason == "no-rule-allows"
    assert _get(readings, "/one", "x-list: a", "x-list: b", listener="joined").status == 200


@pytest.mark.parametrize("listener", ["plain", "joined"])
@pytest.mark.parametrize(
    "lines",
    [
        ("authorization: Bearer a.b.c", "authorization: Bearer d.e.f"),
        ("content-type: text/plain", "content-type: application/json"),
        ("origin: https://a.example", "origin: https://b.example"),
        ("sec-fetch-mode: navigate", "Sec-Fetch-Mode: cors"),
        ("x-extauthz-otp: 123456", "x-extauthz-otp: 654321"),
    ],
)
def test_a_header_that_must_be_single_is_refused_when_it_comes_twice(
    readings: Readings, listener: str, lines: tuple[str, ...]
) -> None:
    answer = _get(readings, "/lines", *lines, listener=listener)
    assert (answer.status, answer.reason) == (400, "repeated-header")


def test_bytes_that_are_no_utf8_are_no_name_that_a_rule_could_mean(readings: Readings) -> None:
    assert _get(readings, "/exactly", "x-name: jürgen").status == 200
    assert _get(readings, "/exactly", "x-name: jürgen".encode("latin-1")).reason == "no-rule-allows"
    # In the joined form Envoy writes `!` for them: nobody can tell that from a `!` of the client's own.
    assert _get(readings, "/exactly", "x-name: jürgen".encode("latin-1"), listener="joined").status == 200


def test_a_header_that_envoy_withholds_satisfies_no_guard_by_its_absence(readings: Readings) -> None:
    assert _get(readings, "/not", "x-name: person").status == 200
    assert _get(readings, "/not", "x-name: robot 7").reason == "denied"
    for name in ("person", "robot 7"):
        assert _get(readings, "/not", f"x-name: {name}", listener="allowing").reason == "policy-error"


@pytest.mark.parametrize(
    "line",
    [
        "x-forwarded-uri: /not", "x-forwarded-host: bodies.example.com", "x-forwarded-method: DELETE",
        "x-original-url: /not", "x-rewrite-url: /not", "x-http-method-override: DELETE", "x-forwarded-prefix: /not",
        "x-envoy-original-path: /not", "forwarded: host=bodies.example.com", "user-agent: kube-probe/1.30",
    ],
)  # fmt: skip
def test_no_header_changes_what_is_decided_on(readings: Readings, line: str) -> None:
    assert _get(readings, "/lines", line).told("x-lines") == ""
    assert _get(readings, "/nothing", line.replace("/not", "/lines")).reason == "no-rule-allows"


# --- TLS


def _around(readings: Readings, sni: str, workload: str | None, path: str = "/orders") -> dict[str, str]:
    """The headers of the request as the service got it over TLS; empty if it did not."""
    stage = readings.stage
    before = len(stage.service.received)
    context = stage.context(None if workload is None else stage.workload(workload))
    with (
        socket.create_connection(("127.0.0.1", readings.ports["https"]), timeout=15) as connection,
        context.wrap_socket(connection, server_hostname=sni) as secured,
    ):
        secured.sendall(f"GET {path} HTTP/1.1\r\nhost: around.example.com\r\nconnection: close\r\n\r\n".encode())
        secured.makefile("rb").read()
    return dict(*(received.headers for received in stage.service.received[before:]))


@pytest.mark.parametrize("sni", ["localhost", "payments.example.com"])
def test_a_condition_sees_the_name_that_the_client_asked_for_in_tls(readings: Readings, sni: str) -> None:
    assert _around(readings, sni, None)["x-sni"] == sni


def test_a_condition_sees_the_fingerprint_of_the_peers_certificate(readings: Readings) -> None:
    pem = readings.stage.workload(SHOP).certificate.read_text()
    first = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
    assert _around(readings, "localhost", SHOP)["x-certificate"] == fingerprint
    assert _around(readings, "localhost", None)["x-certificate"] == "none"


# --- metadata


def _surrounded(readings: Readings, path: str, listener: str = "plain", method: str = "GET") -> Answer:
    return readings.ask([f"{method} {path} HTTP/1.1", "host: around.example.com"], listener=listener)


def test_a_condition_sees_what_a_filter_noted_and_what_stands_at_the_route(readings: Readings) -> None:
    answer = _surrounded(readings, "/orders")
    assert (answer.told("x-tier"), answer.told("x-owner")) == ("gold", "payments")
    assert _surrounded(readings, "/orders", method="PUT").status == 200


def test_what_envoy_is_not_told_to_pass_on_is_absent(readings: Readings) -> None:
    answer = _surrounded(readings, "/orders", "silent")
    assert (answer.told("x-tier"), answer.told("x-owner"), answer.told("x-sni")) == ("none", "none", "none")
    assert _surrounded(readings, "/orders", "silent", "PUT").reason == "no-rule-allows"


def test_the_setting_of_the_route_is_the_context(readings: Readings) -> None:
    """The shipped route for everything else has one, the route of `/orders` has none."""
    assert _surrounded(readings, "/elsewhere").told("x-route") == "service"
    assert _surrounded(readings, "/orders").told("x-route") == "none"


# --- TCP


def _echo(readings: Readings, workload: str, sni: str) -> bytes:
    """The first bytes that a service behind the TCP listener answers; none if the connection was closed."""
    context = readings.stage.context(readings.stage.workload(workload))
    with (
        socket.create_connection(("127.0.0.1", readings.ports["inbound_tcp"]), timeout=15) as connection,
        context.wrap_socket(connection, server_hostname=sni) as secured,
    ):
        secured.sendall(b"GET /over-tcp HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        try:
            return secured.makefile("rb").read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    ("workload", "sni", "allowed"),
    [(SHOP, "localhost", True), (SHOP, "payments.example.com", False), (CI, "localhost", False)],
)
def test_a_tcp_connection_is_decided_by_its_peer_and_its_tls_session(
    readings: Readings, workload: str, sni: str, allowed: bool
) -> None:
    before = len(readings.stage.service.received)
    assert _echo(readings, workload, sni).startswith(b"HTTP/1.1 200 ") == allowed
    assert len(readings.stage.service.received) == before + allowed
