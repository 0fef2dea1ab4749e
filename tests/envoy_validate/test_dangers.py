"""What findings warn of is real: an Envoy with the fault of the sample lets through what the good one does not.

Every test asks two listeners of one Envoy the same. They differ in what the finding is about, and in nothing else.
"""

import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from e2e.services import http_service
from e2e.stage import HOST, SHOP, Script, Stage, stage
from envoy_validate.conftest import ALONE, POLICIES

from extauthz.cli.quickstart.certificates import Pair, create_authority
from extauthz.cli.quickstart.local_http import get
from extauthz.envoy.validate.run import validate

FORGED = f"By=spiffe://prod.example.org/gateway;URI={SHOP}"


def reaches(dangers: Stage, listener: str, path: str, **sent: object) -> bool:
    """Whether a request without any identity reaches the service."""
    return reached(dangers, lambda: dangers.client(listener=listener).request("GET", path, **sent))  # type: ignore[arg-type]  # headers alone


def reached(dangers: Stage, ask: Callable[[], httpx.Response]) -> bool:
    """Whether what is asked comes to the service."""
    before = len(dangers.service.received)
    answer = ask()
    arrived = len(dangers.service.received) > before
    assert arrived == (answer.status_code == 200)
    return arrived


@pytest.mark.parametrize(
    "sample",
    [
        "shadow-mode",
        "filter-enabled-fraction",
        "filter-enabled-metadata",
        "filter-enabled-by-rbac",
        "filter-enabled-by-nobody",
        "filter-conditional-by-composite",
        "filter-disabled",
        "filter-disabled-on-a-route",
        "route-unchecked-by-virtual-host",
        "route-unchecked-by-weight",
        "route-unchecked-by-filter-config",
        "route-unchecked",
    ],
)
def test_where_nobody_is_asked_everybody_passes(dangers: Stage, sample: str) -> None:
    assert reaches(dangers, sample, "/open/secrets")
    assert not reaches(dangers, "good", "/open/secrets")


def test_a_failure_that_allows_lets_everybody_pass(dangers: Stage) -> None:
    assert reaches(dangers, f"failure-mode-allow:{ALONE}", "/secrets")
    assert not reaches(dangers, f"good:{ALONE}", "/secrets")
    assert dangers.client(listener=f"good:{ALONE}").get("/secrets").status_code == 503


def test_a_condition_on_the_filter_is_met_by_whoever_likes(dangers: Stage) -> None:
    assert reaches(dangers, "filter-conditional", "/secrets", headers={"x-internal": "yes"})
    assert not reaches(dangers, "filter-conditional", "/secrets")
    assert not reaches(dangers, "good", "/secrets", headers={"x-internal": "yes"})


def test_a_route_of_the_pages_that_leads_to_the_service_is_open(dangers: Stage) -> None:
    assert reaches(dangers, "route-unchecked-as-pages", "/.extauthz/secrets")
    assert not reaches(dangers, "good", "/.extauthz/secrets")


@pytest.mark.parametrize(
    "name", ["listener-bypass:metrics", "listener-bypass-by-another-name:metrics", "listener-bypass-by-tcp:tcp"]
)
def test_a_listener_beside_the_filter_is_a_way_around_it(dangers: Stage, name: str) -> None:
    address = f"http://127.0.0.1:{dangers.admin.port(name)}/secrets"
    assert reached(dangers, lambda: httpx.get(address, headers={"host": HOST}, trust_env=False))
    assert not reaches(dangers, "good", "/secrets")


@pytest.mark.parametrize(
    "sample",
    [
        "asks-by-rbac-about-all",
        "disabled-and-switched-on",
        "pages-not-switched-on",
        "filter-disabled-on-a-route",
    ],
)
def test_where_somebody_is_asked_only_who_is_allowed_passes(dangers: Stage, sample: str) -> None:
    assert reaches(dangers, sample, "/anybody")
    path = "/anybody/secrets" if sample == "filter-disabled-on-a-route" else "/secrets"
    assert not reaches(dangers, sample, path)


def test_a_client_certificate_header_that_is_forwarded_is_the_clients_own(dangers: Stage) -> None:
    header = {"x-forwarded-client-cert": FORGED}
    assert reaches(dangers, "xfcc-forwarded", "/shop", headers=header)
    assert not reaches(dangers, "good", "/shop", headers=header)


def test_before_what_envoy_appends_stands_what_the_client_wrote(dangers: Stage) -> None:
    def seen(listener: str) -> str:
        client = dangers.client("spiffe://prod.example.org/ns/other/sa/job", listener=listener)
        assert client.get("/anybody", headers={"x-forwarded-client-cert": FORGED}).status_code == 200
        (header,) = dangers.service.received[-1].all("x-forwarded-client-cert")
        return header

    assert seen("xfcc-appended").startswith(FORGED)
    assert SHOP not in seen("good")


@pytest.mark.parametrize(
    ("sample", "path"), [("accept-untrusted", "/shop"), ("client-certificate-unverified", "/anybody")]
)
def test_a_certificate_that_anybody_can_make_is_taken(dangers: Stage, sample: str, path: str, tmp_path: Path) -> None:
    own = create_authority(tmp_path / "own.pem", common_name="own", now=datetime.now(UTC))
    pair = own.issue_workload(tmp_path / "shop", SHOP)
    assert reached(dangers, lambda: _with(dangers, pair, sample, path))
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        _with(dangers, pair, "good", path)
    assert reached(dangers, lambda: dangers.client(SHOP, listener="good").get(path))


def test_a_certificate_that_anybody_can_make_opens_connections_without_http(dangers: Stage, tmp_path: Path) -> None:
    own = create_authority(tmp_path / "own.pem", common_name="own", now=datetime.now(UTC))

    def answered(pair: Pair | None) -> bytes:
        plain = socket.create_connection(("127.0.0.1", dangers.admin.port("accept-untrusted-of-tcp:tcp")), timeout=30)
        with dangers.context(pair).wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(f"GET /secrets HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
            return connection.recv(4096)

    assert answered(own.issue_workload(tmp_path / "shop", SHOP)).startswith(b"HTTP/1.1 200 ")
    assert answered(own.issue_workload(tmp_path / "job", "spiffe://prod.example.org/ns/other/sa/job")) == b""
    assert answered(None) == b""


def test_a_certificate_that_has_ended_is_taken_by_envoy(dangers: Stage, tmp_path: Path) -> None:
    earlier = replace(dangers.authority, now=datetime.now(UTC) - timedelta(days=30))
    pair = earlier.issue_workload(tmp_path / "shop", SHOP)
    # extauthz reads the certificate itself here, and refuses it; the name alone (`source_principal`) it would believe.
    assert _with(dangers, pair, "accept-expired", "/shop").json()["reason"] == "invalid-token"
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        _with(dangers, pair, "good", "/shop")


def test_a_caller_that_counts_as_internal_has_envoy_repeat_its_request(dangers: Stage) -> None:
    def arrived(listener: str) -> int:
        before = len(dangers.service.received)
        dangers.service.statuses.append(500)
        headers = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "1"}
        dangers.client(listener=listener).get("/anybody", headers=headers)
        dangers.service.statuses.clear()
        return len(dangers.service.received) - before

    assert arrived("callers-internal") == 2
    assert arrived("good") == 1


def test_a_mirror_gets_what_was_allowed_with_all_that_it_carries(dangers: Stage) -> None:
    before = len(dangers.service.received)
    token = {"cookie": "other=1", "x-answer": "x-answered: yes"}
    assert dangers.client(listener="route-mirrors").get("/anybody", headers=token).status_code == 200
    deadline = time.monotonic() + 10
    while len(dangers.service.received) < before + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    copies = [one.all("cookie") + one.all("x-authz-subject") for one in dangers.service.received[before:]]
    assert copies == [["other=1", "nobody"]] * 2
    assert not reaches(dangers, "route-mirrors", "/secrets")


def test_a_header_or_the_host_leads_wherever_a_client_likes(dangers: Stage) -> None:
    with http_service() as elsewhere:
        address = f"127.0.0.1:{elsewhere.port}"
        for listener, headers in (("upstream-by-client", {"x-place": address}), ("forward-proxy", {"host": address})):
            before = len(elsewhere.received)
            assert dangers.client(listener=listener).get("/elsewhere", headers=headers).status_code == 200
            assert len(elsewhere.received) == before + 1
        arrived = len(elsewhere.received)
        assert dangers.client(listener="good").get("/elsewhere", headers={"x-place": address}).status_code == 200
        assert len(elsewhere.received) == arrived


def test_a_header_chooses_the_routes_of_another_host(dangers: Stage) -> None:
    def routed(listener: str) -> list[str]:
        answer = dangers.client(listener=listener).get("/anybody", headers={"x-site": "internal.example.com"})
        assert answer.status_code == 200
        return dangers.service.received[-1].all("x-envoy-expected-rq-timeout-ms")

    assert routed("host-by-header") == ["7000"]
    assert routed("good") == ["15000"]


def test_credentials_of_envoys_own_are_what_is_judged_or_what_the_service_sees(dangers: Stage) -> None:
    alice = dangers.bearer("alice")
    assert dangers.client(listener="credentials-after").get("/anybody", headers=alice).status_code == 200
    assert dangers.service.received[-1].all("authorization") == ["Bearer our-own"]
    assert dangers.client(listener="good").get("/anybody", headers=alice).status_code == 200
    assert dangers.service.received[-1].all("authorization") == [alice["authorization"]]
    assert reaches(dangers, "good", "/alice", headers=alice)
    assert not reaches(dangers, "credentials-before", "/alice", headers=alice)


def test_a_filter_of_a_cluster_changes_what_was_decided_about(dangers: Stage) -> None:
    def target(listener: str) -> str:
        assert dangers.client(listener=listener).get("/anybody").status_code == 200
        return dangers.service.received[-1].target

    assert target("opaque-after-in-cluster") == "/secrets"
    assert target("good") == "/anybody"


def _with(dangers: Stage, pair: Pair, listener: str, path: str) -> httpx.Response:
    with httpx.Client(verify=dangers.context(pair), base_url=dangers.url(listener), trust_env=False) as client:
        return client.get(path, headers={"host": HOST})


def test_what_is_dropped_of_an_answer_leaves_the_clients_own_header(dangers: Stage) -> None:
    def subject(listener: str) -> list[str]:
        answer = dangers.client(listener=listener).get("/anybody", headers={"x-authz-subject": "admin"})
        assert answer.status_code == 200
        return dangers.service.received[-1].all("x-authz-subject")

    assert subject("mutations-dropped") == ["admin"]
    assert subject("good") == ["nobody"]


def test_a_rule_cannot_deny_by_a_header_that_is_withheld(dangers: Stage) -> None:
    assert reaches(dangers, "headers-withheld", "/anybody", headers={"x-blocked": "1"})
    assert not reaches(dangers, "good", "/anybody", headers={"x-blocked": "1"})


def test_a_body_that_is_said_to_be_known_and_is_not_counts_as_none(dangers: Stage) -> None:
    def post(listener: str) -> bool:
        client = dangers.client(listener=listener)
        return reached(dangers, lambda: client.post("/open/bodiless", content=iter([b"transfer=all"])))

    assert post("buffered-claimed")
    assert not post("good")


def test_what_one_may_read_is_served_to_all_by_a_cache_in_front(dangers: Stage) -> None:
    def served(listener: str) -> int:
        asked = dangers.client(SHOP, listener=listener)
        path = f"/shop/{listener}"
        assert asked.get(path, headers={"x-answer": "cache-control: public, max-age=600"}).status_code == 200
        status: int = dangers.client(listener=listener).get(path).status_code
        return status

    assert served("cache-before") == 200
    assert served("good") == 401


def test_an_upgrade_with_filters_of_its_own_is_asked_about_by_nobody(dangers: Stage) -> None:
    def upgraded(listener: str) -> bool:
        lines = ["GET /secrets HTTP/1.1", f"host: {HOST}", "connection: Upgrade", "upgrade: websocket"]
        lines += ["sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
        plain = socket.create_connection(("127.0.0.1", dangers.admin.port(listener)), timeout=30)
        with dangers.context().wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall("\r\n".join(lines).encode())
            return connection.recv(4096).startswith(b"HTTP/1.1 101 ")

    assert upgraded("upgrade-unchecked")
    assert not upgraded("upgrade-checked-once")


@pytest.mark.parametrize(
    "sample",
    ["denial-turned-success", "denial-turned-success-by-filter", "denial-turned-success-by-filter-behind"],
)
def test_a_denial_that_is_called_success_is_taken_for_one(dangers: Stage, sample: str) -> None:
    header = {"x-blocked": "1"}
    assert dangers.client(listener=sample).get("/anybody", headers=header).status_code == 200
    assert dangers.client(listener="answers-rewritten-by-filter").get("/anybody", headers=header).text == "Sorry."
    assert dangers.client(listener="good").get("/anybody", headers=header).status_code == 403


def test_whoever_reaches_the_port_names_his_address(dangers: Stage) -> None:
    def forwarded(listener: str) -> str:
        plain = socket.create_connection(("127.0.0.1", dangers.admin.port(listener)), timeout=30)
        plain.sendall(b"PROXY TCP4 203.0.113.7 127.0.0.1 4000 443\r\n")
        with dangers.context().wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(f"GET /anybody HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        return dangers.service.received[-1].all("x-forwarded-for")[0]

    assert forwarded("proxy-protocol") == "203.0.113.7"
    with pytest.raises(ssl.SSLError):
        forwarded("good")


def test_with_another_prefix_a_client_says_that_its_body_is_whole(dangers: Stage) -> None:
    def wrong(running: Stage, listener: str) -> bool:
        lied = {"x-envoy-auth-partial-body": "false"}
        client = running.client(listener=listener)
        return reached(running, lambda: client.post("/open/whole", content=b"a" * 20_000, headers=lied))

    sample = yaml.safe_load((Path(__file__).parent / "samples" / "header-prefix.yaml").read_text())
    prefix = {"header_prefix": sample["header_prefix"]}
    with stage(Script(policies=POLICIES, edit=lambda tree: tree.update(prefix))) as prefixed:
        assert wrong(prefixed, "https")
    assert not wrong(dangers, "good")


def test_the_dump_of_a_running_envoy_is_judged_as_its_file(dangers: Stage) -> None:
    """All that the samples have, in what Envoy makes of it, but for the value of an extension, which it leaves out."""
    _, dump = get(dangers.folder / "admin.sock", "/config_dump")
    file = (dangers.folder / "envoy.yaml").read_text()
    dumped = Counter(one.rule for one in validate([("dump.json", dump.decode())]))
    written = Counter(one.rule for one in validate([("envoy.yaml", file)]))
    assert written - dumped == Counter({"buffered-claimed": 1})
    assert dumped - written == Counter()
    assert len(dumped) > 70
