"""`extauthz policy test`: what it runs, and how it tells a difference."""

import re
from pathlib import Path

import pytest
from policytest.shop import invoke
from policytest.writing import cases, policy, told

from extauthz.errors import ExtauthzError
from extauthz.policy.problems import PolicyErrors

ROOT = Path(__file__).parents[2]


def test_cases_are_run_and_told(folder: Path) -> None:
    result = invoke("test", folder)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("covered: 3 of 3 rules\n6 passed, 0 failed\n")


def test_where_no_terminal_is_no_name_is_broken_or_cut(folder: Path) -> None:
    """Whatever COLUMNS says: logs of CI are searched for names."""
    rule, case = "transfers-" * 9 + "x", "transfers_" * 12
    policy(folder, f"    - {{name: {rule}, when: \"request.path == '/{case}'\", effect: allow}}\n")
    cases(
        folder,
        f"request: {{path: /{case}}}, expect: {{decision: allow}}",
        "request: {path: /}, expect: {decision: allow}",
    )
    text = (folder / "t.yaml").read_text()
    (folder / "t.yaml").write_text(text.replace("case 0", f"{case} is one word"))
    said = invoke("test", folder).stdout
    rows = [line.split("│")[1:] for line in said.splitlines() if "│ ok " in line]
    assert [cell.strip() for cell in rows[-1]][:4] == ["ok", f"t: {case} is one word", "allow", f"p/{rule}"]
    assert max(map(len, said.splitlines())) < 1000


def test_a_difference_is_told_with_its_place_and_ends_with_1(folder: Path) -> None:
    file = folder / "payments_test.yaml"
    file.write_text(file.read_text().replace("rule: payments/large-transfer}", "rule: payments/small-transfer}"))
    result = invoke("test", folder)
    assert result.exit_code == 1
    where = f"{file}:7:13: payments: large transfer asks for a second factor: "
    difference = "rule: expected `payments/small-transfer`, got `payments/large-transfer`"
    assert where + difference in result.stdout
    assert result.stdout.endswith("5 passed, 1 failed\n")
    report = told(folder)
    assert (report["passed"], report["failed"]) == (5, 1)
    unknown = "there is no rule `payments/small-transfer`; did you mean `payments/shop-may-transfer`?"
    assert report["cases"][0]["differences"] == [difference, unknown]
    assert report["cases"][1]["differences"] == []
    assert "rules" not in report["cases"][1]


def test_the_first_difference_is_explained_by_what_its_conditions_saw(folder: Path) -> None:
    policies = folder / "payments.yaml"
    policies.write_text(policies.read_text().replace("> 1000.0", "> 9000.0"))
    result = invoke("test", folder)
    assert result.exit_code == 1
    explained = result.stdout[result.stdout.index("got `allow`") :]
    for part in (
        "payments/large-transfer  challenge  no-match",
        "variables.amount > 9000.0  → false",
        "variables.amount  → 5000.0",
        'request.query.amount  → "5000"',
        "payments/shop-may-transfer  allow  match",
    ):
        assert part in explained
    assert explained.count("→ false") == 2, "only the first difference is explained"
    trace = told(folder)["cases"][0]["rules"][1]["trace"]
    assert (trace["expression"], trace["value"]) == ("variables.amount > 9000.0", False)


def test_a_rule_that_was_expected_and_is_no_candidate_is_told_with_the_reason(tmp_path: Path) -> None:
    policy(tmp_path, "    - {name: r, paths: [/a/b], methods: [POST], effect: allow}\n")
    cases(tmp_path, "request: {path: /a/c}, expect: {decision: allow, rule: p/r}")
    text = " ".join(invoke("test", tmp_path).stdout.split())
    assert "p/r no candidate the method `GET` where `POST` is wanted; the path `/a/c` where `/a/b` is wanted" in text
    (other,) = told(tmp_path)["cases"][0]["others"]
    assert other["because"] == [
        {"field": "method", "wanted": ["POST"], "got": "GET"},
        {"field": "path", "wanted": ["/a/b"], "got": "/a/c"},
    ]


@pytest.mark.parametrize(
    ("effect", "expect", "difference"),
    [
        ("allow: {headers: {x-tier: \"'gold'\"}}", "headers: {X-Tier: gold}", None),
        (
            "allow: {headers: {x-tier: \"'gold'\"}}",
            "headers: {x-tier: tin}",
            "headers: `x-tier`: expected `tin`, got `gold`",
        ),
        ("allow: {query: {q: \"'1'\"}}", "query: {q: '1'}", None),
        ("allow: {query: {q: \"'1'\"}}", "query: {z: '1'}", "query: `z`: expected `1`, got nothing"),
        ("allow: {response_headers: {x-a: \"'1'\"}}", "response_headers: {x-a: '1'}", None),
        ('allow: {metadata: {m: "[1, 2]"}}', "metadata: {m: [1, 2]}", None),
        ("allow: {remove_headers: [x-a, x-b]}", "removed: [X-A]", None),
        ("allow: {remove_headers: [x-a]}", "removed: [x-b]", "removed: expected `x-b`, got `['x-a']`"),
        ("deny: {status: 429, headers: {retry-after: '9'}}", "status: 429, headers: {retry-after: '9'}", None),
        ("deny: {status: 429}", "status: 403", "status: expected `403`, got `429`"),
        ("challenge: {factors: [totp]}", "factors: [totp], status: 401, reason: proof-required", None),
        ("challenge: {factors: [totp]}", "factors: [webauthn]", "factors: expected `webauthn`, got `['totp']`"),
        ("approve: {approvers: {groups: [g]}}", "reason: approval-required, status: 403", None),
    ],
)
def test_everything_that_leaves_can_be_expected(
    tmp_path: Path, effect: str, expect: str, difference: str | None
) -> None:
    name = effect.partition(":")[0]
    decision = {"approve": "hold"}.get(name, name)
    others = "" if name == "allow" else "    - {name: a, effect: allow}\n"
    policy(tmp_path, f"    - {{name: r, effect: {name}, {effect}}}\n{others}")
    cases(tmp_path, f"user: {{sub: u}}, expect: {{decision: {decision}, rule: p/r, {expect}}}")
    (case,) = told(tmp_path)["cases"]
    assert case["differences"] == ([] if difference is None else [difference])


def test_a_challenged_browser_gets_its_redirect(tmp_path: Path) -> None:
    policy(
        tmp_path,
        "    - {name: a, effect: allow}\n    - {name: c, effect: challenge, challenge: {factors: [totp]}}\n",
    )
    browser = "request: {headers: {sec-fetch-mode: navigate, accept: text/html}}"
    cases(tmp_path, f"{browser}, user: {{sub: u}}, expect: {{decision: challenge, status: 302}}")
    assert told(tmp_path)["failed"] == 0


def test_rules_in_shadow_can_be_expected_one_by_one(tmp_path: Path) -> None:
    policy(
        tmp_path,
        "    - {name: a, effect: allow}\n"
        "    - {name: d, effect: deny, mode: shadow, when: has(request.query.x)}\n"
        "    - {name: e, effect: deny, mode: shadow, when: request.query.x == 'y'}\n"
        "    - {name: z, effect: deny, paths: [/z]}\n",
    )
    expect = "{decision: allow, rules: {p/d: no-match, p/e: error, p/z: no-candidate, p/a: match}}"
    cases(tmp_path, f"expect: {expect}")
    assert told(tmp_path)["failed"] == 0


def test_time_and_actors_of_a_user_can_be_given(tmp_path: Path) -> None:
    policy(
        tmp_path,
        "    - name: a\n      effect: allow\n"
        "      when: user.token_age < duration('5m') && user.actor.sub == 'agent' && 'shop' in user.aud\n",
    )
    user = "{sub: u, aud: [shop], actor: {sub: agent}, issued_at: 2026-11-21T09:58:00Z}"
    cases(
        tmp_path,
        f"now: 2026-11-21T10:00:00Z, user: {user}, expect: {{decision: allow}}",
        f"now: 2026-11-21T10:04:00Z, user: {user}, expect: {{decision: deny}}",
    )
    assert told(tmp_path)["failed"] == 0


def test_bodies_of_every_kind_can_be_given_or_be_unknown(tmp_path: Path) -> None:
    allowed = {
        "json": "request.json.items == 2",
        "form": "request.form.amount == '5'",
        "empty": "request.body == b''",
        "grpc": "request.grpc.amount > 4u && request.grpc.fee.units == 1 && !has(request.grpc.limit)",
        "unknown": "request.truncated",
    }
    rules = (
        f'    - {{name: {name}, paths: [/{name}], when: "{when}", effect: allow}}' for name, when in allowed.items()
    )
    policy(tmp_path, "\n".join(rules))
    cases(
        tmp_path,
        "request: {path: /json, json: {items: 2}}, expect: {decision: allow}",
        "request: {path: /form, body: amount=5, headers: {content-type: application/x-www-form-urlencoded}}, "
        "expect: {decision: allow}",
        'request: {path: /empty, body: ""}, expect: {decision: allow}',
        "request: {path: /grpc, grpc: {amount: 5, fee: {units: 1}}}, expect: {decision: allow}",
        "request: {path: /unknown}, expect: {decision: allow}",
        'request: {path: /unknown, body: ""}, expect: {decision: deny}',
        *(
            f"request: {{path: /{name}}}, expect: {{rules: {{p/{name}: error}}, decision: deny}}"
            for name in list(allowed)[:4]
        ),
    )
    result = invoke("test", tmp_path)
    assert result.exit_code == 0, result.stdout


def test_metadata_of_filters_and_of_the_route_can_be_given(tmp_path: Path) -> None:
    when = "metadata.shop.tier == 'gold' && route.metadata.shop.owner == 'payments'"
    policy(tmp_path, f'    - {{name: both, when: "{when}", effect: allow}}')
    cases(
        tmp_path,
        "metadata: {shop: {tier: gold}}, route_metadata: {shop: {owner: payments}}, expect: {decision: allow}",
        "metadata: {shop: {tier: gold, owner: payments}}, expect: {decision: deny}",
    )
    assert invoke("test", tmp_path).exit_code == 0


def test_a_grant_for_a_rule_that_does_not_exist_is_told(tmp_path: Path) -> None:
    policy(tmp_path, "    - {name: large, effect: allow}\n")
    cases(tmp_path, "facts: {grants: [{rule: p/lagre, factor: totp}]}, expect: {decision: allow}")
    assert told(tmp_path)["cases"][0]["differences"] == ["there is no rule `p/lagre`; did you mean `p/large`?"]


@pytest.mark.parametrize(
    ("kept", "message"),
    [("payments.yaml", "no tests found"), ("payments_test.yaml", "no policies found")],
)
def test_a_run_of_nothing_is_an_error(folder: Path, kept: str, message: str) -> None:
    result = invoke("test", folder / kept)
    assert isinstance(result.exception, ExtauthzError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("good", "bad", "problems"),
    [
        (
            "user: {sub: u1}",
            "user: {sbu: u1}",
            ["16:14: unknown field `sbu`; did you mean `sub`?"],
        ),
        ("ns/shop/sa/web", "ns//sa/web", ["9:17: `spiffe://prod.example.org/ns//sa/web` is not a SPIFFE ID"]),
        (
            "an old one is not",
            "a fresh proof is enough",
            ["19:13: the case `a fresh proof is enough` exists already; "],
        ),
    ],
)
def test_a_bad_test_document_is_told_with_its_place(folder: Path, good: str, bad: str, problems: list[str]) -> None:
    file = folder / "payments_test.yaml"
    file.write_text(file.read_text().replace(good, bad, 1))
    result = invoke("test", folder)
    assert isinstance(result.exception, PolicyErrors)
    found = [str(problem).removeprefix(f"{file}:") for problem in result.exception.problems]
    assert len(found) == len(problems)
    assert all(have.startswith(want) for have, want in zip(found, problems, strict=True))


def test_the_documents_of_the_manual_are_good(tmp_path: Path) -> None:
    for name in ("policies.md", "testing-policies.md"):
        blocks = re.findall(r"```yaml\n(apiVersion.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)
        kinds = [re.findall(r"^kind: (\w+)", block, re.MULTILINE)[0] for block in blocks]
        assert {"Policy", "PolicyTest"} <= set(kinds), name
        (tmp_path / f"{name}.yaml").write_text("---\n".join(blocks))
        result = invoke("test", tmp_path / f"{name}.yaml")
        assert result.exit_code == 0, result.stdout
