"""The examples for workloads through a real Envoy: who is allowed, who is not, and what a missing input comes to."""

import json
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import pytest
from e2e.stage import SHOP, extauthz_command
from examples.showing import Shown
from publishing import Page

from extauthz.cli.quickstart.tokens import ISSUER

JSON: Final = {"content-type": "application/json"}


def until(holds: Callable[[], bool]) -> None:
    """Wait for what a file or a command has changed; a server sees it within a second or so."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "nothing changed"
        time.sleep(0.05)


# --- payment-run

RUN: Final = "spiffe://prod.example.org/ns/billing/sa/payment-run"
PAYMENTS: Final = "payments.example.com"
PRODUCTION: Final = "10.20.3.4"


def test_the_payment_run_pays_out_from_production_in_its_time(shown: Shown) -> None:
    paid = shown.ask(PAYMENTS, "/v1/payouts", "POST", workload=RUN, address=PRODUCTION)
    assert shown.reason(paid) == (200, "allowed", "payment-run/pays-out")
    assert shown.stage.service.received[-1].all("x-paid-by") == [RUN]
    refunded = shown.ask(PAYMENTS, "/v1/refunds", "POST", workload=RUN, address=PRODUCTION)
    assert shown.reason(refunded) == (403, "outside-of-its-time", "payment-run/no-refunds-by-night")


def test_the_certificate_of_the_payment_run_is_worth_nothing_elsewhere(shown: Shown) -> None:
    paid = shown.ask(PAYMENTS, "/v1/payouts", "POST", workload=RUN, address="192.168.7.7")
    assert shown.reason(paid) == (403, "not-from-production", "payment-run/not-from-production")
    assert shown.ask(PAYMENTS, "/v1/payouts", "POST", workload=SHOP, address=PRODUCTION).status_code == 403
    assert shown.ask(PAYMENTS, "/v1/payouts", "POST", address=PRODUCTION).status_code == 401


def test_a_payment_run_from_an_address_that_nobody_knows_is_denied(shown: Shown) -> None:
    for address in (None, "not-an-address"):
        paid = shown.ask(PAYMENTS, "/v1/payouts", "POST", workload=RUN, address=address)
        assert shown.reason(paid) == (403, "policy-error", "payment-run/not-from-production")


# --- agent-export

AGENT: Final = "spiffe://prod.example.org/ns/agents/sa/reporting"
WAREHOUSE: Final = "warehouse.example.com"


def approve(shown: Shown, tenant: str, *purposes: str, until: str = "2126-01-01T00:00:00Z", agent: str = AGENT) -> str:
    """Let the governance service say so; the path that it is asked at."""
    path = f"/v1/approvals?agent={quote(agent, safe='')}&tenant={tenant}"
    shown.sources.pages[path] = Page(body=json.dumps({"purposes": purposes, "until": until, "by": "x"}), headers=JSON)
    return path


def export(shown: Shown, asked: object, workload: str | None = AGENT) -> tuple[int, object, object]:
    return shown.reason(shown.ask(WAREHOUSE, "/v1/exports", "POST", workload=workload, json=asked))


def test_an_agent_exports_an_approved_tenant_for_an_approved_purpose(shown: Shown) -> None:
    path = approve(shown, "acme", "invoicing", "audit")
    exported = (200, "allowed", "agent-export/agents-export")
    assert export(shown, {"tenant": "acme", "purpose": "invoicing"}) == exported
    received = shown.stage.service.received[-1]
    assert (received.all("x-export-tenant"), received.all("x-export-purpose")) == (["acme"], ["invoicing"])
    assert shown.sources.asked[-1].headers["authorization"] == "Bearer a-token-of-extauthz"
    assert export(shown, {"tenant": "acme", "purpose": "audit"}) == exported
    assert shown.sources.count(path) == 1, "what was said counts for a while"


def test_an_agent_exports_nothing_that_was_not_approved(shown: Shown) -> None:
    approve(shown, "initech", "invoicing")
    not_approved = (403, "purpose-not-approved", "agent-export/purpose-not-approved")
    assert export(shown, {"tenant": "initech", "purpose": "training"}) == not_approved
    approve(shown, "hooli", "invoicing", until="2020-01-01T00:00:00Z")
    over = (403, "approval-is-over", "agent-export/approval-is-over")
    assert export(shown, {"tenant": "hooli", "purpose": "invoicing"}) == over
    approve(shown, "acme", "invoicing", agent=SHOP)
    assert export(shown, {"tenant": "acme", "purpose": "invoicing"}, workload=SHOP)[0] == 403
    assert export(shown, {"tenant": "globex", "purpose": "invoicing"})[:2] == (403, "policy-error"), "nobody knows it"


@pytest.mark.parametrize("asked", [None, {"tenant": "acme"}, {"purpose": "invoicing"}, ["acme", "invoicing"]])
def test_an_agent_that_does_not_say_what_and_what_for_is_denied(shown: Shown, asked: object) -> None:
    approve(shown, "acme", "invoicing")
    assert export(shown, asked)[:2] == (403, "policy-error")


def test_while_nobody_can_say_what_is_approved_nothing_is_exported(shown: Shown) -> None:
    asked = {"tenant": "umbrella", "purpose": "invoicing"}
    path = approve(shown, "umbrella", "invoicing")
    for page in (Page(body="{}", status=500), Page(body="<html>", headers={"content-type": "text/html"})):
        good, shown.sources.pages[path] = shown.sources.pages[path], page
        assert export(shown, asked)[:2] == (403, "policy-error")
        shown.sources.pages[path] = good
    shown.sources.down()
    try:
        assert export(shown, asked)[:2] == (403, "policy-error")
    finally:
        shown.sources.up()
    assert export(shown, asked)[0] == 200


# --- ci-secrets

SECRETS: Final = "secrets.example.com"
RUNNER: Final = "spiffe://prod.example.org/ns/ci/sa/runner-7"
OTHER_RUNNER: Final = "spiffe://prod.example.org/ns/ci/sa/runner-8"


def run(shown: Shown, job: str, status: str = "running", **more: str) -> dict[str, str]:
    """Let the CI system say this of a job; the header with its token."""
    known = {"status": status, "runner": RUNNER, **more}
    shown.sources.pages[f"/v1/jobs/{job}"] = Page(body=json.dumps(known), headers=JSON)
    return shown.job(job_id=job, project_id="20", ref_protected="true")


def secret(shown: Shown, token: dict[str, str], workload: str | None = RUNNER) -> tuple[int, object, object]:
    return shown.reason(shown.ask(SECRETS, "/v1/projects/20/secrets/key", workload=workload, headers=token))


def test_a_job_reads_secrets_while_it_runs_on_its_runner(shown: Shown) -> None:
    assert secret(shown, run(shown, "812")) == (200, "allowed", "ci-secrets/jobs-read-secrets")
    assert shown.stage.service.received[-1].all("x-authz-job") == ["812"]
    until(lambda: secret(shown, run(shown, "812", "success")) == (403, "job-not-running", "ci-secrets/not-running"))


def test_the_token_of_a_job_is_worth_nothing_on_another_runner(shown: Shown) -> None:
    token = run(shown, "813")
    assert secret(shown, token, OTHER_RUNNER) == (403, "another-runner", "ci-secrets/another-runner")
    assert secret(shown, token, None)[:2] == (403, "policy-error")
    other_project = shown.ask(SECRETS, "/v1/projects/21/secrets/key", workload=RUNNER, headers=token)
    assert shown.reason(other_project)[:2] == (403, "no-rule-allows")


def test_a_job_of_which_nobody_knows_reads_nothing(shown: Shown) -> None:
    unknown = shown.job(job_id="999", project_id="20", ref_protected="true")
    assert secret(shown, unknown)[:2] == (403, "policy-error")
    assert secret(shown, shown.job(project_id="20", ref_protected="true"))[:2] == (403, "policy-error")
    assert secret(shown, {})[:2] == (403, "policy-error")


# --- deployment-drift

FUNCTION: Final = "spiffe://prod.example.org/ns/functions/sa/render-invoice"
INVOICES: Final = "invoices.example.com"


def invoice(shown: Shown, workload: str = FUNCTION) -> tuple[int, object, object]:
    return shown.reason(shown.ask(INVOICES, "/v1/invoices/2026-17", workload=workload))


def test_a_function_is_denied_from_when_something_else_is_deployed_until_that_is_approved(shown: Shown) -> None:
    allowed = (200, "allowed", "deployment-drift/functions-read-invoices")
    assert invoice(shown) == allowed
    known = shown.attributes.read_text()

    def write(text: str) -> None:
        # As a pipeline should: a rename, so that no half of the file is ever read.
        beside = shown.attributes.with_suffix(".new")
        beside.write_text(text)
        beside.replace(shown.attributes)

    write(known.replace("deployed: sha256:9f86", "deployed: sha256:0bad"))
    drift = (403, "deployment-drift", "deployment-drift/not-what-was-approved")
    until(lambda: invoice(shown) == drift)
    write(known)
    until(lambda: invoice(shown) == allowed)


@pytest.mark.parametrize("name", ["experiment", "half-known"])
def test_a_function_that_is_not_listed_with_both_is_denied(shown: Shown, name: str) -> None:
    denied = invoice(shown, f"spiffe://prod.example.org/ns/functions/sa/{name}")
    assert denied == (403, "policy-error", "deployment-drift/not-what-was-approved")


# --- leaked-secret

ORDERS: Final = "orders.example.com"
AT_HOME: Final = "198.51.100.20"
ELSEWHERE: Final = "203.0.113.66"


def orders(shown: Shown, token: dict[str, str], address: str | None = AT_HOME) -> tuple[int, object, object]:
    return shown.reason(shown.ask(ORDERS, "/v1/orders/4711", address=address, headers=token))


def test_a_leaked_secret_opens_nothing_from_elsewhere_and_then_nothing_at_all(shown: Shown) -> None:
    token = shown.stage.bearer("partner-7", groups=["partners"])
    assert orders(shown, token) == (200, "allowed", "leaked-secret/partners-read-orders")
    replayed = (403, "secret-from-elsewhere", "leaked-secret/from-elsewhere")
    assert orders(shown, token, ELSEWHERE) == replayed
    assert orders(shown, token, f"{AT_HOME}, {ELSEWHERE}") == replayed, "what the thief writes in front counts nothing"
    configuration = str(shown.stage.folder / "extauthz.yaml")
    revoked = extauthz_command("subjects", "revoke", "partner-7", "--issuer", ISSUER, "--config", configuration)
    assert revoked.returncode == 0, revoked.stderr
    until(lambda: orders(shown, token)[:2] == (401, "token-revoked"))


def test_who_copies_all_orders_is_stopped(shown: Shown) -> None:
    token = shown.stage.bearer("partner-8", groups=["partners"])
    answers = [shown.ask(ORDERS, f"/v1/orders/{one}", address=AT_HOME, headers=token) for one in range(61)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    assert answers[-1].headers["retry-after"] == "60"
    assert orders(shown, shown.stage.bearer("partner-9", groups=["partners"]))[0] == 200, "somebody else may"


def test_a_secret_from_an_address_that_nobody_knows_is_denied(shown: Shown) -> None:
    token = shown.stage.bearer("partner-10", groups=["partners"])
    assert orders(shown, token, None) == (403, "policy-error", "leaked-secret/from-elsewhere")
    assert orders(shown, {})[:2] == (403, "policy-error")
