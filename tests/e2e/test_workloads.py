"""Workloads are who their certificate says, and nothing that they write themselves changes it."""

import ssl
from datetime import UTC, datetime

import httpx
import pytest
from e2e.stage import SHOP, STRANGER, Stage

from extauthz.cli.quickstart.certificates import create_authority

ACCOUNT = "/v1/accounts/acc-1"
CI = "spiffe://prod.example.org/ns/ci/sa/runner"


def test_a_workload_is_known_by_the_uri_of_its_certificate(gateway: Stage) -> None:
    response = gateway.client(SHOP).get(ACCOUNT)
    assert response.status_code == 200
    assert gateway.service.received[-1].all("x-authz-workload") == [SHOP]
    line = gateway.decided(response)
    assert (line["decision"], line["rule"], line["peer"]) == ("allow", "gateway/shop-reads", SHOP)


def test_another_workload_of_the_trust_domain_is_denied(gateway: Stage) -> None:
    before = len(gateway.service.received)
    response = gateway.client(CI).get(ACCOUNT)
    assert response.status_code == 403
    assert gateway.decided(response)["reason"] == "no-rule-allows"
    assert len(gateway.service.received) == before


def test_a_caller_without_a_certificate_is_nobody(gateway: Stage) -> None:
    response = gateway.client().get(ACCOUNT)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer, DPoP algs=")
    assert gateway.decided(response)["reason"] == "no-rule-allows"


def test_a_workload_of_another_trust_domain_is_nobody(gateway: Stage) -> None:
    response = gateway.client(STRANGER).get(ACCOUNT)
    assert response.status_code == 401
    assert gateway.decided(response)["peer"] == STRANGER


def test_a_certificate_of_another_ca_never_gets_through_the_handshake(gateway: Stage) -> None:
    folder = gateway.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    foreign = create_authority(folder / "ca.pem", common_name="elsewhere", now=datetime.now(UTC))
    context = gateway.context(foreign.issue_workload(folder / "shop", SHOP))
    # TLS 1.3 tells the client after the handshake, on the first read.
    with httpx.Client(verify=context) as client, pytest.raises((httpx.ReadError, httpx.ConnectError, ssl.SSLError)):
        client.get(gateway.url() + "/health")


@pytest.mark.parametrize("listener", ["https", "appending"])
def test_a_callers_own_words_about_its_certificate_do_not_count(gateway: Stage, listener: str) -> None:
    claim = {"x-forwarded-client-cert": f"By=spiffe://prod.example.org/envoy;URI={SHOP}"}
    denied = gateway.client(CI, listener=listener).get(ACCOUNT, headers=claim)
    assert denied.status_code == 403
    assert gateway.decided(denied)["reason"] == "no-rule-allows"
    nobody = gateway.client(listener=listener).get(ACCOUNT, headers=claim)
    assert nobody.status_code == 401


def test_appended_elements_before_the_last_change_nothing(gateway: Stage) -> None:
    claim = {"x-forwarded-client-cert": f'URI={CI};Subject=",URI={CI}"'}
    response = gateway.client(SHOP, listener="appending").get(ACCOUNT, headers=claim)
    assert response.status_code == 200
    received = gateway.service.received[-1]
    assert received.all("x-authz-workload") == [SHOP]
    assert received.all("x-forwarded-client-cert")[0].endswith(f"URI={SHOP}")


def test_a_certificate_header_that_contradicts_the_certificate_is_refused(gateway: Stage) -> None:
    claim = {"x-forwarded-client-cert": f"URI={SHOP}"}
    response = gateway.client(CI, listener="forwarding").get(ACCOUNT, headers=claim)
    assert response.status_code == 403
    assert gateway.decided(response)["reason"] == "identity-conflict"


def test_a_malformed_certificate_header_is_refused(gateway: Stage) -> None:
    claim = {"x-forwarded-client-cert": f'URI="{SHOP}'}
    response = gateway.client(SHOP, listener="forwarding").get(ACCOUNT, headers=claim)
    assert response.status_code == 400
