"""`extauthz policy`: what the commands print and how they end."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from extauthz.cli.policy import app
from extauthz.errors import ExtauthzError
from extauthz.policy.problems import PolicyErrors

POLICY = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  hosts: ["payments.example.com"]
  variables:
    amount: double(request.query.amount)
  rules:
    - name: shop-may-transfer
      methods: [POST]
      paths: ["/v1/accounts/{account}/transfers"]
      workloads: ["spiffe://prod.example.org/ns/shop/sa/*"]
      effect: allow
    - name: large-transfer
      paths: ["/v1/accounts/{account}/transfers"]
      when: variables.amount > 1000.0
      effect: challenge
      challenge: {factors: [webauthn, totp], max_age: 5m, bind: action}
    - name: frozen-accounts
      paths: ["/v1/accounts/{account}/**"]
      when: request.params.account in ["acc-13"]
      effect: deny
      deny: {status: 404, reason: account-frozen}
"""
CASES = """\
apiVersion: extauthz/v1
kind: PolicyTest
metadata: {name: payments}
spec:
  now: 2026-11-21T10:00:00Z
  cases:
    - name: large transfer asks for a second factor
      request: &REQUEST {method: POST, host: payments.example.com, path: "/v1/accounts/a1/transfers?amount=5000"}
      workload: spiffe://prod.example.org/ns/shop/sa/web
      user: {sub: u1, claims: {tenant: t1}}
      facts: {grants: [], device: {known: true}}
      expect: {decision: challenge, rule: payments/large-transfer}
    - name: a fresh proof is enough
      request: *REQUEST
      workload: spiffe://prod.example.org/ns/shop/sa/web
      user: {sub: u1}
      facts: {grants: [{rule: payments/large-transfer, factor: totp, age: 4m}]}
      expect: {decision: allow, rule: payments/shop-may-transfer}
    - name: an old one is not
      request: *REQUEST
      workload: spiffe://prod.example.org/ns/shop/sa/web
      user: {sub: u1}
      facts: {grants: [{rule: payments/large-transfer, factor: totp, age: 6m}]}
      expect: {decision: challenge}
    - name: a frozen account is not found
      request: {method: POST, host: payments.example.com, path: "/v1/accounts/acc-13/transfers?amount=5"}
      expect: {decision: deny, status: 404, reason: account-frozen}
    - name: what is ambiguous is refused
      request: {method: POST, host: payments.example.com, path: "/v1//accounts"}
      expect: {decision: deny, rule: null, reason: malformed-path, status: 400}
    - name: a connection
      request: {tcp: true, source_ip: 192.0.2.1}
      expect: {decision: deny, reason: no-rule-allows, status: 401}
"""
REQUEST_TEXT = '{method: POST, host: payments.example.com, path: "/v1/accounts/a1/transfers?amount=5000"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "payments.yaml").write_text(POLICY)
    cases = CASES.replace("&REQUEST ", "").replace("*REQUEST", REQUEST_TEXT)
    (tmp_path / "payments_test.yaml").write_text(cases)
    return tmp_path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_request(file: Path, path: str = "/v1/accounts/a1/transfers?amount=5000", **http: object) -> Path:
    file.write_text(
        json.dumps(
            {
                "attributes": {
                    "source": {"principal": "spiffe://prod.example.org/ns/shop/sa/web"},
                    "request": {
                        "time": "2026-11-21T10:00:00Z",
                        "http": {"method": "POST", "host": "payments.example.com", "path": path, **http},
                    },
                }
            }
        )
    )
    return file


def test_check_of_good_policies_ends_with_0(folder: Path) -> None:
    result = invoke("check", folder)
    assert result.exit_code == 0
    assert result.stdout.startswith("3 rules, no errors, revision sha256:")
    told = json.loads(invoke("check", folder, "--format", "json").stdout)
    assert told["ok"] is True
    assert told["rules"] == 3


def test_check_warns_of_rules_that_have_expired(folder: Path) -> None:
    text = POLICY.replace("      effect: allow\n", "      effect: allow\n      expires: 2020-01-01T00:00:00Z\n")
    (folder / "payments.yaml").write_text(text)
    result = invoke("check", folder)
    assert result.exit_code == 0
    place = f"{folder / 'payments.yaml'}:14:16"
    assert f"{place}: warning: the rule `payments/shop-may-transfer` has expired; remove it" in result.stderr


def test_check_of_bad_policies_draws_every_problem_and_ends_with_1(folder: Path) -> None:
    (folder / "payments.yaml").write_text(POLICY.replace("1000.0", "'much'").replace("effect: deny", "efect: deny"))
    result = invoke("check", folder)
    assert result.exit_code == 1
    assert f"{folder}/payments.yaml:22:7: unknown field `efect`; did you mean `effect`?" in result.stderr
    assert "   22 |       efect: deny\n      |       ^" in result.stderr
    told = json.loads(invoke("check", folder, "--format", "json").stdout)
    assert told["ok"] is False
    assert [problem["line"] for problem in told["problems"]] == [16, 19, 22]


def test_explain_prints_the_object_of_the_design(folder: Path) -> None:
    request = check_request(folder / "request.json")
    result = invoke("explain", "--policy", folder, "--request", request, "--format", "json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    response = told.pop("response")
    revision = told.pop("revision")
    assert told.pop("others") == []
    told["rules"] = [{key: one[key] for key in ("rule", "effect", "mode", "result", "error")} for one in told["rules"]]
    assert told == {
        "decision": "deny",
        "reason": "needs-subject",
        "rule": "payments/large-transfer",
        "status": 401,
        "rules": [
            {
                "rule": "payments/frozen-accounts",
                "effect": "deny",
                "mode": "enforce",
                "result": "no-match",
                "error": None,
            },
            {
                "rule": "payments/large-transfer",
                "effect": "challenge",
                "mode": "enforce",
                "result": "match",
                "error": None,
            },
            {
                "rule": "payments/shop-may-transfer",
                "effect": "allow",
                "mode": "enforce",
                "result": "match",
                "error": None,
            },
        ],
    }
    assert response["status"]["code"] == 16
    assert response["dynamicMetadata"]["extauthz"]["revision"] == revision


def test_explain_of_an_allow_and_of_a_refusal(folder: Path) -> None:
    request = check_request(folder / "request.json", "/v1/accounts/a1/transfers?amount=5")
    told = json.loads(invoke("explain", "--policy", folder, "--request", request, "--format", "json").stdout)
    assert (told["decision"], told["status"], told["rule"]) == ("allow", 200, "payments/shop-may-transfer")
    assert "okResponse" in told["response"]
    request = check_request(folder / "request.json", "/v1/../accounts")
    told = json.loads(invoke("explain", "--policy", folder, "--request", request, "--format", "json").stdout)
    assert (told["decision"], told["status"], told["reason"]) == ("deny", 400, "malformed-path")
    assert told["rules"] == []


def test_explain_for_people(folder: Path) -> None:
    request = check_request(folder / "request.json", "/v1/accounts/a1/transfers")
    result = invoke("explain", "--policy", folder, "--request", request)
    assert result.exit_code == 0
    assert result.stdout.startswith("deny policy-error by payments/large-transfer, status 403")
    assert "no such key: `amount`" in " ".join(result.stdout.replace("│", " ").split())


def test_explain_reads_identity_sources_from_the_configuration(folder: Path) -> None:
    config = folder / "extauthz.conf"
    config.write_text("policies: [.]\nidentity: {workload: {trust_domains: [other.example.org]}}\n")
    request = check_request(folder / "request.json", "/v1/accounts/a1/transfers?amount=5")
    arguments = ("explain", "--policy", folder, "--request", request, "--format", "json")
    assert json.loads(invoke(*arguments).stdout)["decision"] == "allow"
    told = json.loads(invoke(*arguments, "--config", config).stdout)
    assert (told["decision"], told["reason"]) == ("deny", "no-rule-allows")


def test_cases_are_run_and_told(folder: Path) -> None:
    result = invoke("test", folder)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("6 passed, 0 failed\n")


def test_a_difference_is_told_and_ends_with_1(folder: Path) -> None:
    file = folder / "payments_test.yaml"
    file.write_text(file.read_text().replace("rule: payments/large-transfer}", "rule: payments/small-transfer}"))
    result = invoke("test", folder)
    assert result.exit_code == 1
    assert "rule: expected `payments/small-transfer`, got `payments/large-transfer`" in result.stdout
    told = json.loads(invoke("test", folder, "--format", "json").stdout)
    assert (told["passed"], told["failed"]) == (5, 1)
    assert told["cases"][0]["differences"] == [
        "rule: expected `payments/small-transfer`, got `payments/large-transfer`",
        "there is no rule `payments/small-transfer`; did you mean `payments/shop-may-transfer`?",
    ]


@pytest.mark.parametrize(
    ("kept", "told"),
    [("payments.yaml", "no tests found"), ("payments_test.yaml", "no policies found")],
)
def test_a_run_of_nothing_is_an_error(folder: Path, kept: str, told: str) -> None:
    result = invoke("test", folder / kept)
    assert isinstance(result.exception, ExtauthzError)
    assert told in str(result.exception)


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (
            "user: {sub: u1}",
            "user: {sbu: u1}",
            ["16:13: missing field `sub`", "16:14: unknown field `sbu`; did you mean `sub`?"],
        ),
        ("ns/shop/sa/web", "ns//sa/web", ["9:17: `spiffe://prod.example.org/ns//sa/web` is not a SPIFFE ID"]),
    ],
)
def test_a_bad_test_document_is_told_with_its_place(folder: Path, good: str, bad: str, told: list[str]) -> None:
    file = folder / "payments_test.yaml"
    file.write_text(file.read_text().replace(good, bad, 1))
    result = invoke("test", folder)
    assert isinstance(result.exception, PolicyErrors)
    assert [str(problem).removeprefix(f"{file}:") for problem in result.exception.problems] == told


def test_the_schema_knows_every_field_of_a_rule() -> None:
    schema = json.loads(invoke("schema").stdout)
    assert {"name", "hosts", "paths", "when", "effect", "challenge"} <= schema["$defs"]["Rule"]["properties"].keys()
    assert schema["$defs"]["Rule"]["additionalProperties"] is False
    assert len(schema["oneOf"]) == 3


def test_the_documents_of_the_manual_are_good(tmp_path: Path) -> None:
    manual = Path(__file__).parents[2] / "docs" / "policies.md"
    blocks = re.findall(r"```yaml\n(.*?)```", manual.read_text(), re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "manual.yaml").write_text("---\n".join(blocks))
    result = invoke("test", tmp_path)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("2 passed, 0 failed\n")
