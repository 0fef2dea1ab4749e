"""A shop's policy with its tests, written into a folder, and the commands as a user calls them."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from extauthz.cli.policy import app

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


def write(folder: Path) -> Path:
    """The policy and its tests in two files."""
    (folder / "payments.yaml").write_text(POLICY)
    cases = CASES.replace("&REQUEST ", "").replace("*REQUEST", REQUEST_TEXT)
    (folder / "payments_test.yaml").write_text(cases)
    return folder


def invoke(*arguments: str | Path) -> Result:
    """What `extauthz policy …` prints and how it ends; 80 columns wide."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})


def check_request(file: Path, path: str = "/v1/accounts/a1/transfers?amount=5000", **http: object) -> Path:
    """A CheckRequest as protobuf JSON, by default of a large transfer."""
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
