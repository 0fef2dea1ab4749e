"""The requests of the walk and what each of them should come to."""

import json
from dataclasses import replace

import httpx

from extauthz.cli.quickstart.people import ALICE
from extauthz.cli.quickstart.walk import Expected, Step

ACCOUNT = "/v1/accounts/acc-1"
TRANSFERS = f"{ACCOUNT}/transfers"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "same-origin", "accept": "text/html"}


def _denied(reason: str, *, status: int = 403, rule: str | None = None) -> Expected:
    return Expected(status=status, decision="deny", rule=rule, reason=reason)


def _transfer(amount: float) -> str:
    return json.dumps({"amount": amount})


def _names_alice_alone(response: httpx.Response) -> str | None:
    received = response.json()["headers_received"]
    if received == {"x-authz-subject": ALICE.sub}:
        return None
    return f"the service should be told of `{ALICE.sub}` and nothing else, it received `{received}`"


def _asks_for_fresh_proof(response: httpx.Response) -> str | None:
    asked = response.headers.get("www-authenticate", "")
    if 'error="insufficient_user_authentication"' in asked:
        return None
    return f"`www-authenticate` should ask for fresh proof (RFC 9470), is `{asked}`"


def _leads_to_the_page(response: httpx.Response) -> str | None:
    location = response.headers.get("location", "")
    return None if location.startswith("/.extauthz/") else f"should lead to the challenge page, leads to `{location}`"


CHALLENGED = Expected(
    status=401,
    decision="challenge",
    rule="payments/large-transfer",
    reason="proof-required",
    answer=_asks_for_fresh_proof,
)
TRANSFERRED = Expected(status=201, decision="allow", rule="payments/shop-transfers", reason="allowed")

STEPS = (
    Step(
        who="nobody",
        what="reads an account",
        path=ACCOUNT,
        expected=_denied("no-rule-allows", status=401),
    ),
    Step(
        who="finance/reports",
        what="reads the ledger",
        path="/v1/ledger",
        workload="reports",
        expected=Expected(status=200, decision="allow", rule="payments/finance-reads-ledger", reason="allowed"),
    ),
    Step(
        who="ci/runner",
        what="reads the ledger",
        path="/v1/ledger",
        workload="ci",
        expected=_denied("no-rule-allows"),
    ),
    Step(
        who="Alice",
        what="reads her account, and claims to be root in a header",
        path=ACCOUNT,
        person="alice",
        headers={"x-extauthz-subject": "root", "x-authz-subject": "root", "x-authz-workload": "root"},
        expected=Expected(
            status=200,
            decision="allow",
            rule="payments/owner-reads-account",
            reason="allowed",
            answer=_names_alice_alone,
        ),
    ),
    Step(
        who="Bob",
        what="reads Alice's account",
        path=ACCOUNT,
        person="bob",
        expected=_denied("no-rule-allows"),
    ),
    Step(
        who="somebody",
        what="brings a token that nobody signed",
        path=ACCOUNT,
        headers={"authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."},
        expected=_denied("invalid-token", status=401),
    ),
    Step(
        who="Alice via the shop",
        what="sends 200",
        method="POST",
        path=TRANSFERS,
        workload="shop",
        person="alice",
        body=_transfer(200),
        expected=TRANSFERRED,
    ),
    Step(
        who="Alice via the shop",
        what="sends 5,000",
        method="POST",
        path=TRANSFERS,
        workload="shop",
        person="alice",
        body=_transfer(5000),
        expected=CHALLENGED,
    ),
    Step(
        who="Alice via the shop",
        what="sends 5,000 with a one-time code",
        method="POST",
        path=TRANSFERS,
        workload="shop",
        person="alice",
        body=_transfer(5000),
        with_code=True,
        expected=TRANSFERRED,
    ),
    Step(
        who="Alice via the shop",
        what="sends 5,000 again: the proof still holds",
        method="POST",
        path=TRANSFERS,
        workload="shop",
        person="alice",
        body=_transfer(5000),
        expected=TRANSFERRED,
    ),
    Step(
        who="Alice via the shop",
        what="sends 7,000 with the same code: good once",
        method="POST",
        path=TRANSFERS,
        workload="shop",
        person="alice",
        body=_transfer(7000),
        with_code=True,
        expected=replace(CHALLENGED, reason="code-used"),
    ),
    Step(
        who="Alice in a browser",
        what="opens her payees",
        path="/payees",
        person="alice",
        headers=NAVIGATION,
        expected=Expected(
            status=302,
            decision="challenge",
            rule="pages/payees-need-a-second-factor",
            reason="proof-required",
            answer=_leads_to_the_page,
        ),
    ),
    Step(
        who="Alice via the shop",
        what="sends from a frozen account",
        method="POST",
        path="/v1/accounts/acc-13/transfers",
        workload="shop",
        person="alice",
        body=_transfer(50),
        expected=_denied("account-frozen", rule="payments/frozen-account"),
    ),
    Step(
        who="Alice via the shop",
        what="names two amounts in one body",
        method="POST",
        path=TRANSFERS,
        workload="shop",
        person="alice",
        body='{"amount": 1, "amount": 90000}',
        expected=_denied("policy-error", rule="payments/large-transfer"),
    ),
    Step(
        who="Alice via the shop",
        what="hides the frozen account in the path",
        method="POST",
        path="/v1/accounts/acc-1%2F..%2Facc-13/transfers",
        workload="shop",
        person="alice",
        body=_transfer(50),
        expected=_denied("malformed-path", status=400),
    ),
)
