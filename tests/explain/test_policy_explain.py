"""`extauthz policy explain`: the object of the design, the values behind it, and why other rules had no say."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import geoip
import pytest
from consoles import in_terminal
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from explain.explaining import said, told, words
from identity.issuer import AUDIENCE, ISSUER, Issuer
from policy.making import document, rule
from policytest.shop import check_request, invoke

from extauthz.cli.quickstart.demo import EXTAUTHZ


def test_the_answer_to_a_request_that_can_not_be_read_has_its_callers_form(folder: Path) -> None:
    grpc = {"content-type": "application/grpc"}
    request = check_request(folder / "request.json", "/pay.Payments//Pay", headers=grpc)
    found = told("--policy", folder, "--request", request)
    assert (found["reason"], said(found)["grpc-status"]) == ("malformed-path", "3")


def test_explain_prints_the_object_of_the_design(folder: Path) -> None:
    request = check_request(folder / "request.json")
    result = invoke("explain", "--policy", folder, "--request", request, "--format", "json")
    assert result.exit_code == 0
    explained = json.loads(result.stdout)
    response = explained.pop("response")
    revision = explained.pop("revision")
    assert explained.pop("others") == explained.pop("risk") == []
    for one in explained["rules"]:
        assert {"place", "trace", "variables"} <= one.keys()
        del one["place"], one["trace"], one["variables"]
    assert explained == {
        "decision": "deny",
        "reason": "needs-subject",
        "rule": "payments/large-transfer",
        "status": 401,
        "detail": None,
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
    found = told("--policy", folder, "--request", request)
    assert (found["decision"], found["status"], found["rule"]) == ("allow", 200, "payments/shop-may-transfer")
    assert "okResponse" in found["response"]
    request = check_request(folder / "request.json", "/v1/../accounts")
    found = told("--policy", folder, "--request", request)
    assert (found["decision"], found["status"], found["reason"]) == ("deny", 400, "malformed-path")
    assert found["rules"] == []


def test_explain_for_people(folder: Path) -> None:
    request = check_request(folder / "request.json", "/v1/accounts/a1/transfers")
    result = invoke("explain", "--policy", folder, "--request", request)
    assert result.exit_code == 0
    assert result.stdout.startswith("deny policy-error by payments/large-transfer, status 403")
    assert "no such key: `amount`" in words(result.stdout)


def test_explain_reads_identity_sources_from_the_configuration(folder: Path) -> None:
    config = folder / "extauthz.conf"
    config.write_text("policies: [.]\nidentity: {workload: {trust_domains: [other.example.org]}}\n")
    request = check_request(folder / "request.json", "/v1/accounts/a1/transfers?amount=5")
    arguments = ("explain", "--policy", folder, "--request", request, "--format", "json")
    assert json.loads(invoke(*arguments).stdout)["decision"] == "allow"
    found = json.loads(invoke(*arguments, "--config", config).stdout)
    assert (found["decision"], found["reason"]) == ("deny", "no-rule-allows")


def test_what_was_wrong_with_a_refused_request_is_told_in_full(folder: Path) -> None:
    request = check_request(folder / "request.json", headers={"x-forwarded-client-cert": "frobnicate=1"})
    detail = "x-forwarded-client-cert: unknown key “frobnicate”"
    found = told("--policy", folder, "--request", request)
    assert (found["reason"], found["detail"]) == ("malformed-request", detail)
    text = invoke("explain", "--policy", folder, "--request", request).stdout
    assert text.startswith(f"deny malformed-request, status 400\n{detail}\n")


def test_explain_knows_the_lists_and_databases_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    when = 'listed(client.ip, "office") && geo.city == "London" && !has(geo.asn)'
    policy = document("p", rule("a", "allow", when=when))
    (tmp_path / "policies" / "p.yaml").write_text(json.dumps(policy))
    (tmp_path / "office.txt").write_text(f"{geoip.LONDON}\n")
    databases = f"geo: {{city: {geoip.city()}, asn: {geoip.asn()}}}"
    config = tmp_path / "extauthz.yaml"
    config.write_text(f"policies: [policies]\naddresses: {{office: office.txt}}\n{databases}\n")
    for address, decision in ((geoip.LONDON, "allow"), (geoip.BOXFORD, "deny")):
        request = tmp_path / "request.json"
        source = {"address": {"socketAddress": {"address": address, "portValue": 4711}}}
        http = {"method": "GET", "path": "/", "host": "app.example"}
        request.write_text(json.dumps({"attributes": {"source": source, "request": {"http": http}}}))
        asked = ("--policy", tmp_path / "policies", "--request", request, "--config", config)
        assert told(*asked)["decision"] == decision


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"exp": 1}, "token: `exp` is over"),
        ({"aud": "other"}, "token: `aud` names none of the audiences that are expected here"),
        ({"iss": "https://other.example.com"}, "token: `iss` is not of an issuer whose tokens are read here"),
    ],
)
def test_why_a_token_is_refused_is_told_by_the_configuration(
    folder: Path, claims: Mapping[str, Any], detail: str
) -> None:
    issuer = Issuer(keys={"ec": generate_private_key(SECP256R1())}, algorithms={"ec": "ES256"})
    (folder / "jwks.json").write_text(issuer.jwks)
    config = folder / "extauthz.conf"
    config.write_text(
        f"policies: [.]\nidentity: {{users: [{{name: idp, issuer: '{ISSUER}', audiences: [{AUDIENCE}], "
        "jwks: jwks.json, algorithms: [ES256], from: [authorization]}]}\n"
    )
    headers = {"authorization": f"Bearer {issuer.token(**claims)}"}
    request = check_request(folder / "request.json", headers=headers)
    arguments = ("--policy", folder, "--request", request, "--config", config)
    found = told(*arguments)
    assert (found["decision"], found["reason"], found["status"]) == ("deny", "invalid-token", 401)
    assert found["detail"].endswith(detail)
    assert said(found)["www-authenticate"].startswith('Bearer error="invalid_token", DPoP algs="')
    text = invoke("explain", *arguments).stdout
    assert words(text).startswith(f"deny invalid-token, status 401 {found['detail']}")


@pytest.mark.parametrize(("minutes", "decision"), [(10, "allow"), (20, "challenge")])
def test_a_session_counts_as_never_seen_and_as_idle_as_its_token_says(
    tmp_path: Path, minutes: int, decision: str
) -> None:
    issuer = Issuer(keys={"ec": generate_private_key(SECP256R1())}, algorithms={"ec": "ES256"})
    (tmp_path / "jwks.json").write_text(issuer.jwks)
    (tmp_path / "extauthz.conf").write_text(
        f"policies: [.]\nidentity: {{users: [{{name: idp, issuer: '{ISSUER}', audiences: [{AUDIENCE}], "
        "jwks: jwks.json, algorithms: [ES256], from: [authorization]}]}\n"
    )
    made = document(
        "p",
        rule("all", "allow"),
        rule("away", "challenge", when="session.idle > duration('15m')"),
        hosts=["*.example.com"],
    )
    (tmp_path / "p.yaml").write_text(json.dumps(made))
    asked_at = int(datetime.fromisoformat("2026-11-21T10:00:00Z").timestamp())
    token = issuer.token(iat=asked_at - minutes * 60, nbf=asked_at - minutes * 60, exp=asked_at + 60)
    request = check_request(tmp_path / "request.json", headers={"authorization": f"Bearer {token}"})
    arguments = ("--policy", tmp_path / "p.yaml", "--request", request, "--config", tmp_path / "extauthz.conf")
    assert told(*arguments)["decision"] == decision
    assert f'"{minutes * 60}s"' in invoke("explain", *arguments).stdout


def test_every_subexpression_is_told_with_its_value(folder: Path) -> None:
    request = check_request(folder / "request.json")
    rules = told("--policy", folder, "--request", request)["rules"]
    assert [one["place"].rpartition("/")[2] for one in rules] == [
        "payments.yaml:19:13",
        "payments.yaml:14:13",
        "payments.yaml:9:13",
    ]
    frozen, large, shop = rules
    assert frozen["trace"]["parts"][0] == {
        "expression": "request.params.account",
        "line": 1,
        "column": 1,
        "value": "a1",
        "parts": [{"expression": "request.params", "line": 1, "column": 1, "value": {"account": "a1"}, "parts": []}],
    }
    assert large["trace"]["value"] is True
    variable = large["variables"]["variables.amount"]
    assert (variable["expression"], variable["value"]) == ("double(request.query.amount)", 5000.0)
    assert variable["parts"][0]["value"] == "5000"
    assert (shop["trace"], shop["variables"]) == (None, {})


def one_rule(folder: Path, when: str, **request: Any) -> dict[str, Any]:
    """The trace of a condition on a request."""
    made = document("p", rule("r", "allow", when=when), variables={"a": "variables.b + 1", "b": "size(request.path)"})
    (folder / "p.yaml").write_text(json.dumps(made))
    found: dict[str, Any] = told("--policy", folder, "--request", check_request(folder / "r.json", **request))["rules"][
        0
    ]
    return found


def test_what_an_evaluation_leaves_out_is_skipped(tmp_path: Path) -> None:
    trace = one_rule(tmp_path, "false && has(user.sub) || (true ? request.method == 'GET' : has(user.iss))")["trace"]
    conjunction, choice = trace["parts"]
    assert conjunction["value"] is False
    assert [part["expression"] for part in conjunction["parts"]] == ["has(user.sub)"]
    assert conjunction["parts"][0]["skipped"] is True
    assert [part.get("skipped", part.get("value")) for part in choice["parts"]] == [False, True]


def test_an_error_is_told_where_it_arose_and_in_all_that_it_passed_through(tmp_path: Path) -> None:
    rule_told = one_rule(tmp_path, "double(request.query.sum) * 2.0 > 10.0", path="/")
    assert rule_told["result"] == "error"
    product = rule_told["trace"]["parts"][0]
    assert product["error"] == product["parts"][0]["error"] == "no such key: `sum`"


def test_variables_are_told_once_however_often_they_are_used(tmp_path: Path) -> None:
    found = one_rule(tmp_path, "variables.a + variables.a + variables.b > 0", path="/abc")
    assert {name: one["value"] for name, one in found["variables"].items()} == {"variables.a": 5, "variables.b": 4}
    again = one_rule(tmp_path, "true || variables.a > 0", path="/abc")
    assert again["variables"] == {}


def test_a_macro_is_told_for_each_element(tmp_path: Path) -> None:
    trace = one_rule(tmp_path, "[1, 2, 0].all(n, 2 / n > 0)")["trace"]
    test = next(part for part in trace["parts"] if part["expression"] == "2 / n > 0")
    assert test["each"][:2] == [{"value": True}, {"value": True}]
    division = test["parts"][0]
    assert division["each"] == [{"value": 2}, {"value": 1}, {"error": "division by zero"}]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("b'ab\\x00'", "b'ab\\x00'"),
        ("duration('90s')", "90s"),
        ("timestamp('2026-11-21T10:00:00Z')", "2026-11-21T10:00:00Z"),
        ("1.0 / 0.0", "inf"),
        ("request.headers[?'x-none']", {}),
        ("request.headers[?'x-a']", {"optional": "1"}),
        ("{'a': [1, 2u]}", {"a": [1, 2]}),
        ("{1: true}", {"1": True}),
        ("type(1)", "int"),
        ("request.query", {"b": "1", "a": "(the query parameter “a” came 2 times)"}),
    ],
)
def test_values_of_every_kind_can_be_told(tmp_path: Path, expression: str, value: object) -> None:
    trace = one_rule(tmp_path, f"dyn({expression}) == dyn({expression})", path="/?b=1&a=1&a=2", headers={"x-a": "1"})[
        "trace"
    ]
    assert trace["parts"][0]["value"] == value


def test_other_rules_are_told_with_every_field_that_does_not_fit_the_nearest_first(tmp_path: Path) -> None:
    made = document(
        "p",
        rule("a-far", "allow", hosts=["other.example.com"], methods=["GET"], paths=["/x"]),
        rule("b-near", "allow", paths=["/v1/accounts/{a}/payees"]),
        rule("c-path", "allow", paths=["/v2"]),
        rule("d-workload", "allow", workloads=["spiffe://prod.example.org/ns/pay/**"]),
        rule("e-expired", "allow", expires="2020-01-01T00:00:00Z"),
    )
    (tmp_path / "p.yaml").write_text(json.dumps(made))
    request = check_request(tmp_path / "request.json")
    others = told("--policy", tmp_path, "--request", request)["others"]
    assert [(one["rule"], [why["field"] for why in one["because"]]) for one in others] == [
        ("p/b-near", ["path"]),
        ("p/c-path", ["path"]),
        ("p/d-workload", ["workload"]),
        ("p/e-expired", ["expired"]),
        ("p/a-far", ["host", "method", "path"]),
    ]
    assert others[3]["because"] == [{"field": "expired", "wanted": [], "got": "2020-01-01T00:00:00Z"}]
    text = words(invoke("explain", "--policy", tmp_path, "--request", request).stdout)
    assert "no rule covers this request" in text
    assert "the path `/v1/accounts/a1/transfers` where `/v1/accounts/{a}/payees` is wanted" in text
    assert "2 more rules are no candidates" in text
    assert "p/a-far" not in text


def test_of_thousands_of_rules_the_nearest_are_shown_and_all_are_in_json(tmp_path: Path) -> None:
    made = document("p", *(rule(f"r{n}", "allow", paths=[f"/v1/accounts/{{a}}/{n}"]) for n in range(2000)))
    (tmp_path / "p.yaml").write_text(json.dumps(made))
    request = check_request(tmp_path / "request.json", "/v1/accounts/a1/7")
    assert len(told("--policy", tmp_path, "--request", request)["others"]) == 1999
    text = invoke("explain", "--policy", tmp_path, "--request", request).stdout
    assert "1996 more rules are no candidates" in text
    assert len(text.splitlines()) < 15


@pytest.fixture
def long(tmp_path: Path) -> tuple[str | Path, ...]:
    """`policy explain` of a rule and a request with long texts that would clear the screen."""
    text = "x" * 500
    when = f"request.query.note != '{text}' || request.query.note.contains('a') && has(user.sub)"
    (tmp_path / "p.yaml").write_text(json.dumps(document("p", rule("r", "allow", when=when, description="why " * 99))))
    request = check_request(tmp_path / "request.json", "/?note=%1B%5B2J" + text)
    return "explain", "--policy", tmp_path / "p.yaml", "--request", request


def test_it_is_readable_in_80_columns_and_moves_no_cursor(long: tuple[str | Path, ...]) -> None:
    text = in_terminal([*EXTAUTHZ, "policy", *map(str, long)], columns=80)
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert len(text.splitlines()) < 20


def test_where_no_terminal_is_no_line_is_broken(long: tuple[str | Path, ...]) -> None:
    lines = invoke(*long).stdout.splitlines()
    assert "\x1b" not in "".join(lines)
    assert [re.sub("[a-z]{40,}", "…", line.strip("│├└─ ")) for line in lines[:-1]] == [
        "allow allowed by p/r, status 200",
        "p/r  allow  match",
        ("why " * 99)[:99] + "…",
        "request.query.note != '……  → true",
        "request.query.note != '……  → true",
        'request.query.note  → "\\u001b[2J……',
        "request.query.note.contains('a') && has(user.sub)  not evaluated",
    ]


@pytest.mark.parametrize(
    ("text", "told"), [("[]", "no CheckRequest in protobuf JSON: it is no JSON"), ("\udcff", "not UTF-8; save it as")]
)
def test_a_file_that_holds_no_request_is_named_once(folder: Path, text: str, told: str) -> None:
    request = folder / "request.json"
    request.write_text(text, errors="surrogateescape")
    result = invoke("explain", "--policy", folder, "--request", request)
    assert str(result.exception).startswith(f"{request}: {told}")
    assert str(result.exception).count("request.json") == 1


def test_a_request_and_a_record_can_not_both_be_explained(folder: Path) -> None:
    request = check_request(folder / "request.json")
    for arguments in (
        (),
        ("--request", request, "--audit", request, "--id", "d"),
        ("--audit", request),
        ("--request", request, "--id", "d"),
    ):
        result = invoke("explain", "--policy", folder, *arguments)
        assert result.exit_code == 2
        assert "name either" in words(result.stderr)
