"""Allow and deny through a real Envoy: what the caller gets, what the service gets, what the access log says."""

import re
from collections.abc import Iterator

import pytest
from e2e.conftest import POLICIES, add_listeners
from e2e.stage import SHOP, Script, Stage, stage
from otlp_receivers import Receiver
from serving import TRANSPORTS

TRANSFERS = "/v1/accounts/acc-1/transfers"


@pytest.fixture(scope="module", params=TRANSPORTS)
def gateway(request: pytest.FixtureRequest, collector: Receiver) -> Iterator[Stage]:
    """The gateway as it is shipped, with each transport behind it."""
    script = Script(policies=POLICIES, edit=add_listeners, collector=collector.endpoint, transport=request.param)
    with stage(script) as running:
        yield running


def test_the_access_log_says_what_was_decided_and_why(gateway: Stage) -> None:
    response = gateway.client().post(
        "/v1/accounts/acc-13/transfers", json={"amount": 5}, headers=gateway.bearer("alice")
    )
    assert response.status_code == 403
    line = gateway.decided(response)
    assert line["decision"] == "deny"
    assert line["rule"] == "gateway/frozen-account"
    assert line["reason"] == "account-frozen"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", line["revision"])
    assert line["decision_id"] == response.headers["x-extauthz-decision-id"]
    assert line["status"] == 403
    assert line["details"] == "ext_authz_denied"


def test_a_denied_caller_gets_a_problem_document_that_is_not_cached(gateway: Stage) -> None:
    response = gateway.client().get("/v1/me")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem = response.json()
    assert (problem["status"], problem["reason"]) == (401, "no-rule-allows")
    assert problem["decision_id"] == response.headers["x-extauthz-decision-id"]


def test_an_allowed_request_carries_what_the_policy_sets(gateway: Stage) -> None:
    response = gateway.client().get("/v1/me", headers=gateway.bearer("alice"))
    assert response.status_code == 200
    assert gateway.service.received[-1].all("x-authz-subject") == ["alice"]
    assert response.headers["x-policy-note"] == "for your eyes only"
    assert gateway.decided(response)["decision_id"] == response.headers["x-extauthz-decision-id"]


def test_names_that_policies_set_are_never_the_callers_own(gateway: Stage) -> None:
    spoofed = {
        "x-authz-subject": "root",
        "x-authz-workload": "spiffe://prod.example.org/ns/root/sa/root",
        "x-seen-path": "/root",
        "x-extauthz-subject": "root",
        "X-Extauthz-Anything": "root",
    }
    response = gateway.client().get("/v1/me", headers={**gateway.bearer("alice"), **spoofed})
    assert response.status_code == 200
    received = gateway.service.received[-1]
    assert received.all("x-authz-subject") == ["alice"]
    for name in ("x-authz-workload", "x-seen-path", "x-extauthz-subject", "x-extauthz-anything"):
        assert received.all(name) == []


def test_repeated_spoofed_headers_are_replaced_as_a_whole(gateway: Stage) -> None:
    spoofed = [("x-authz-subject", "root"), ("x-authz-subject", "admin"), *gateway.bearer("alice").items()]
    response = gateway.client().get("/v1/me", headers=spoofed)
    assert response.status_code == 200
    assert gateway.service.received[-1].all("x-authz-subject") == ["alice"]


@pytest.mark.parametrize("name", ["x_extauthz_subject", "X_Extauthz-Subject"])
def test_underscored_spellings_do_not_reach_the_service(gateway: Stage, name: str) -> None:
    headers = {**gateway.bearer("alice"), name: "root"}
    refused = gateway.client().get("/v1/me", headers=headers)
    assert refused.status_code == 400  # by Envoy itself, as shipped
    passed = gateway.client(listener="underscored").get("/v1/me", headers=headers)
    assert passed.status_code == 200
    received = gateway.service.received[-1]
    assert [key for key, _ in received.headers if "subject" in key] == ["x-authz-subject"]


def test_an_invalid_token_is_never_anonymous(gateway: Stage) -> None:
    response = gateway.client().get("/health", headers={"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert gateway.decided(response)["reason"] == "invalid-token"


def test_a_token_in_the_session_cookie_identifies_too(gateway: Stage) -> None:
    response = gateway.client().get("/v1/me", headers={"cookie": f"session={gateway.token('alice')}"})
    assert response.status_code == 200
    assert gateway.service.received[-1].all("x-authz-subject") == ["alice"]


@pytest.mark.parametrize("authority", ["payments.example.com.", "PAYMENTS.example.com", "payments.example.com:8443"])
def test_every_spelling_of_a_host_is_decided_by_its_policies(gateway: Stage, authority: str) -> None:
    client = gateway.client(SHOP, host=authority)
    assert client.get("/v1/accounts/acc-1").status_code == 200
    denied = client.get("/files/secret/key")
    assert denied.status_code == 403
    assert gateway.decided(denied)["rule"] == "gateway/nobody-reads-secrets"


def test_another_host_is_another_policy(gateway: Stage) -> None:
    assert gateway.client(SHOP, host="other.example.com").get("/health").status_code == 403


@pytest.mark.parametrize(
    "body", ['{"amount": 1, "amount": 5000}', '{"amount": NaN}', '{"amount": 1', "", '{"AMOUNT": 1}']
)
def test_a_body_that_can_not_be_read_in_one_way_is_denied(gateway: Stage, body: str) -> None:
    headers = {**gateway.bearer("alice"), "content-type": "application/json"}
    response = gateway.client().post(TRANSFERS, content=body, headers=headers)
    assert response.status_code == 403
    assert gateway.decided(response)["reason"] == "policy-error"


def test_a_body_longer_than_envoy_sends_is_evidence_of_nothing(gateway: Stage) -> None:
    body = '{"amount": 1, "padding": "' + "x" * 20_000 + '"}'
    headers = {**gateway.bearer("alice"), "content-type": "application/json", "x-envoy-auth-partial-body": "false"}
    response = gateway.client().post(TRANSFERS, content=body, headers=headers)
    assert response.status_code == 403
    assert gateway.decided(response)["reason"] == "policy-error"


def test_the_pages_path_is_served_without_a_check_and_nothing_beside_it_is(gateway: Stage) -> None:
    page = gateway.client().get("/.extauthz/challenge")
    assert page.status_code == 400  # by the page itself: no ticket
    assert "x-extauthz-decision-id" not in page.headers
    for beside in ("/.extauthz-more", "/%2eextauthz/challenge", "/.Extauthz/challenge"):
        response = gateway.client(listener="unnormalised").get(beside, headers=gateway.bearer("alice"))
        assert response.status_code in (400, 403)
        assert gateway.decided(response)["decision"] == "deny"


def test_a_request_that_the_router_repeats_was_decided_once(gateway: Stage) -> None:
    client = gateway.client(SHOP, listener="repeating")
    received, asked = len(gateway.service.received), gateway.counter("cluster.extauthz.upstream_rq_total")
    gateway.service.failures = 1
    response = client.get("/v1/accounts/acc-1", headers={"x-authz-workload": "root"})
    assert response.status_code == 200
    assert len(gateway.service.received) == received + 2
    assert gateway.counter("cluster.extauthz.upstream_rq_total") == asked + 1
    assert all(one.all("x-authz-workload") == [SHOP] for one in gateway.service.received[-2:])
