"""`extauthz policy test`: what it runs, how it tells a difference, and what it finds untried."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policytest.shop import invoke, write

from extauthz.cli.policy_junit import junit
from extauthz.errors import ExtauthzError
from extauthz.policy.problems import PolicyErrors
from extauthz.policy.sources import SourcePlace
from extauthz.policy.trial import Outcome

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def told(*arguments: str | Path) -> Any:
    """What `policy test --format json` prints."""
    return json.loads(invoke("test", "--format", "json", *arguments).stdout)


def policy(folder: Path, rules: str, variables: str = "") -> None:
    """A policy `p` with these rules."""
    spec = f"  variables: {{{variables}}}\n" if variables else ""
    header = "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n"
    (folder / "p.yaml").write_text(f"{header}{spec}  rules:\n{rules}")


def cases(folder: Path, *written: str) -> None:
    """Tests `t` with these cases, each the inside of a mapping."""
    header = "apiVersion: extauthz/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n  cases:\n"
    lines = "".join(f"    - {{name: case {number}, {one}}}\n" for number, one in enumerate(written))
    (folder / "t.yaml").write_text(header + lines)


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


# Coverage.

RULES = """\
    - {name: a, effect: allow, when: "has(user.sub) && (request.method == 'GET' || request.method == 'PUT')"}
    - {name: d, effect: deny, paths: [/d]}
    - {name: v, effect: deny, when: variables.far}
"""
FAR = "far: \"has(geo.country) ? geo.country != 'CH' : false\""


def uncovered(folder: Path) -> list[str]:
    gaps = told(folder)["coverage"]["uncovered"]
    return [
        " ".join(filter(None, (gap["place"].removeprefix(f"{folder}/"), gap["in"], gap["expression"], gap["missing"])))
        for gap in gaps
    ]


def test_what_no_case_has_tried_is_listed_with_its_place(tmp_path: Path) -> None:
    policy(tmp_path, RULES, FAR)
    cases(tmp_path, "user: {sub: u}, expect: {decision: allow}")
    report = told(tmp_path)["coverage"]
    assert report["rules"] == {"covered": 0, "total": 3, "percent": 0.0}
    assert report["branches"] == {"covered": 0, "total": 5, "percent": 0.0}
    assert uncovered(tmp_path) == [
        "p.yaml:5:21 p/variables.far has(geo.country) no case where it is true",
        "p.yaml:7:14 p/a no case where it does not match",
        "p.yaml:7:39 p/a has(user.sub) no case where it is false",
        "p.yaml:7:57 p/a request.method == 'GET' || request.method == 'PUT' no case where it is false",
        "p.yaml:7:57 p/a request.method == 'GET' no case where it is false",
        "p.yaml:7:84 p/a request.method == 'PUT' no case where it is false",
        "p.yaml:7:84 p/a request.method == 'PUT' no case where it is true",
        "p.yaml:8:14 p/d no case where it matches",
        "p.yaml:9:14 p/v no case where it matches",
    ]
    text = invoke("test", tmp_path).stdout
    assert f"{tmp_path}/p.yaml:8:14: p/d: no case where it matches\n" in text
    assert "covered: 0 of 3 rules, 0 of 5 branches\n" in text


def test_cases_for_every_way_cover_everything(tmp_path: Path) -> None:
    policy(tmp_path, RULES, FAR)
    cases(
        tmp_path,
        "user: {sub: u}, expect: {decision: allow}",
        "request: {method: PUT}, user: {sub: u}, expect: {decision: allow}",
        "request: {method: POST}, user: {sub: u}, expect: {decision: deny}",
        "expect: {decision: deny}",
        "request: {path: /d}, user: {sub: u}, expect: {decision: deny, rule: p/d}",
        "facts: {geo: {country: FR}}, user: {sub: u}, expect: {decision: deny, rule: p/v}",
        "facts: {geo: {country: CH}}, user: {sub: u}, expect: {decision: allow}",
    )
    result = invoke("test", tmp_path, "--coverage-min", "100")
    assert result.exit_code == 0, result.stdout
    assert "covered: 3 of 3 rules, 5 of 5 branches\n" in result.stdout


def test_too_little_coverage_ends_with_1(tmp_path: Path) -> None:
    policy(tmp_path, RULES, FAR)
    cases(tmp_path, "user: {sub: u}, expect: {decision: allow}")
    result = invoke("test", tmp_path, "--coverage-min", "80")
    assert result.exit_code == 1
    assert result.stderr == (
        "coverage of rules is 0.0 %, less than 80 %\ncoverage of branches is 0.0 %, less than 80 %\n"
    )


def test_an_error_covers_neither_way(tmp_path: Path) -> None:
    policy(tmp_path, "    - {name: a, effect: allow, when: user.sub == 'u'}\n")
    cases(tmp_path, "expect: {decision: deny}", "user: {sub: u}, expect: {decision: allow}")
    assert uncovered(tmp_path) == ["p.yaml:6:14 p/a no case where it does not match"]


def test_a_rule_for_everything_only_has_to_match(tmp_path: Path) -> None:
    policy(tmp_path, "    - {name: a, effect: allow}\n")
    cases(tmp_path, "expect: {decision: allow}")
    assert told(tmp_path)["coverage"]["rules"] == {"covered": 1, "total": 1, "percent": 100.0}


# JUnit.


def test_junit_is_told_test_by_test(folder: Path) -> None:
    file = folder / "payments_test.yaml"
    file.write_text(file.read_text().replace("rule: payments/large-transfer}", "rule: null}"))
    result = invoke("test", folder, "--format", "junit")
    assert result.exit_code == 1
    root = ET.fromstring(result.stdout)  # noqa: S314 - our own
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "6", "1")
    (suite,) = root
    assert (suite.tag, suite.get("name"), suite.get("file")) == ("testsuite", "payments", str(file))
    first = suite[0]
    assert first.attrib == {
        "classname": "payments",
        "name": "large transfer asks for a second factor",
        "file": str(file),
        "line": "7",
    }
    (failure,) = first
    assert failure.get("message") == "rule: expected nothing, got `payments/large-transfer`"
    assert "variables.amount > 1000.0  → true" in (failure.text or "")
    assert all(len(case) == 0 for case in suite[1:])


@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=2))
def test_junit_is_well_formed_whatever_names_hold(suite: str, case: str, differences: list[str]) -> None:
    outcome = Outcome(
        suite=suite,
        case=case,
        place=SourcePlace("t.yaml", 1, 1),
        decision="deny",
        rule=None,
        reason="no-rule-allows",
        status=403,
        rules=(),
        traces={},
        others=(),
        differences=tuple(differences),
    )
    root = ET.fromstring(junit([outcome]))  # noqa: S314 - our own
    assert root.get("failures") == "1"


# The watch.


class Watching:
    """`policy test --watch` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [str(Path(sys.executable).parent / "extauthz"), "policy", "test", str(folder), "--watch"]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
        )
        assert self.process.stdout is not None
        self._out: IO[str] = self.process.stdout

    def until(self, part: str, seconds: float = 30.0) -> None:
        """Read to the end of a run that says `part`; a file may be seen half written in one before."""
        said, end = "", time.monotonic() + seconds
        while part not in said or not said.endswith("waiting for changes; Ctrl-C ends this\n"):
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no `{part}` in: {said}"
            read = os.read(self._out.fileno(), 65536).decode()
            assert read, f"it ended after: {said}"
            said += read


def test_a_watch_runs_again_on_every_change_until_it_is_interrupted(folder: Path) -> None:
    watching = Watching(folder)
    try:
        watching.until("6 passed, 0 failed")
        file = folder / "payments.yaml"
        good = file.read_text()
        file.write_text(good.replace("1000.0", "9000.0"))
        watching.until("4 passed, 2 failed")
        file.write_text(good.replace("1000.0", "'much'"))
        watching.until("payments.yaml:16:")
        replacement = folder / ".payments.new"
        replacement.write_text(good)
        replacement.replace(file)  # as editors do
        watching.until("6 passed, 0 failed")
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.wait(10) == 0
    finally:
        watching.process.kill()
        watching.process.communicate()


def test_a_watch_is_for_people(folder: Path) -> None:
    result = invoke("test", folder, "--watch", "--format", "json")
    assert result.exit_code == 2
    assert "leave out" in result.stderr


def test_a_watch_of_nothing_is_an_error(tmp_path: Path) -> None:
    result = invoke("test", tmp_path / "nowhere", "--watch")
    assert isinstance(result.exception, ExtauthzError)
    assert "nowhere: can't be read" in str(result.exception)


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        ("facts: {session: {idle: 14m}}", "allow"),
        ("facts: {session: {idle: 16m}}", "challenge"),
        ("facts: {session: {idle: 1m, age: 13h}}", "challenge"),
        ("facts: {session: {idle: 16m}, grants: [{rule: p/wakes, factor: totp, age: 1m}]}", "allow"),
        ("now: 2026-11-21T10:20:00Z", "challenge"),
        ("now: 2026-11-21T10:10:00Z", "allow"),
    ],
)
def test_a_case_says_how_idle_a_session_is_else_its_token_does(folder: Path, given: str, decision: str) -> None:
    policy(
        folder,
        "    - {name: users, when: has(user.sub), effect: allow}\n"
        "    - name: wakes\n"
        '      when: session.idle > duration("15m") || session.age > duration("12h")\n'
        "      effect: challenge\n"
        "      challenge: {factors: [totp], max_age: 5m, bind: session}\n",
    )
    user = "user: {sub: u1, issued_at: 2026-11-21T10:00:00Z}"
    cases(folder, f"{user}, {given}, expect: {{decision: {decision}}}")
    if "now:" not in given:
        cases(folder, f"now: 2026-11-21T10:00:00Z, {user}, {given}, expect: {{decision: {decision}}}")
    result = invoke("test", folder / "p.yaml", folder / "t.yaml")
    assert result.exit_code == 0, result.stdout


def test_a_session_can_not_be_idle_for_longer_than_it_is_old(folder: Path) -> None:
    policy(folder, "    - {name: a, effect: allow}\n")
    cases(folder, "facts: {session: {idle: 2m, age: 1m}}, expect: {decision: allow}")
    result = invoke("test", folder / "p.yaml", folder / "t.yaml")
    assert result.exit_code == 1
    assert "let `age` be `idle` or more" in str(result.exception)


RISK = """
apiVersion: extauthz/v1
kind: RiskModel
metadata: {name: default}
spec:
  variables: {amount: double(request.query.amount)}
  signals:
    new-device: {when: "!device.known", weight: 20, reason: appears from a new device}
    often: {when: 'rate(user.sub, duration("1m")) > 3', weight: 40, reason: too many requests}
    unusual: {when: 'variables.amount > 10.0 * baseline("amount", user.sub).p95', weight: 5, reason: an unusual amount}
    far: {when: travel.speed_kmh > 900.0, weight: 7, half_life: 1h, reason: too far}
    unsafe: {when: "!attributes.mdm.compliant", weight: 3, reason: a device that is not safe}
    first: {when: "!seen(request.path)", weight: 1, reason: never here before}
  levels: {low: 0, high: 30}
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: all, effect: allow, when: risk.level == "low"}
"""
RISK_CASES = """
---
apiVersion: extauthz/v1
kind: PolicyTest
metadata: {name: p}
spec:
  cases:
    - name: as always
      request: {path: "/?amount=4", source_ip: 192.0.2.7}
      user: {sub: u1}
      facts:
        device: {known: true}
        baselines: {amount: {count: 9, p95: 3.0}}
        geo: {latitude: 59.3, longitude: 18.1}
        last_place: {latitude: 59.9, longitude: 10.8, ago: 3h}
        sources: {mdm: {compliant: true}}
        seen: [/]
      expect: {decision: allow, risk: {score: 0, level: low, signals: []}}
    - name: nothing as always
      request: {path: "/?amount=400"}
      user: {sub: u1}
      facts:
        device: {known: false}
        rates: [{key: u1, window: 1m, count: 4}, {key: u1, window: 1h, count: 1}]
        baselines: {amount: {count: 9, p95: 3.0}}
        geo: {latitude: 59.3, longitude: 18.1}
        last_place: {latitude: -33.9, longitude: 151.2, ago: 3h}
        sources: {mdm: {compliant: false}}
      expect:
        decision: deny
        reason: no-rule-allows
        risk: {score: 76, level: high, signals: [far, first, new-device, often, unsafe, unusual]}
    - name: it was too far two hours ago, and nobody knows of the device
      request: {path: "/?amount=4"}
      user: {sub: u1}
      facts:
        baselines: {amount: {count: 9, p95: 3.0}}
        geo: {latitude: 59.3, longitude: 18.1}
        last_place: {latitude: 59.3, longitude: 18.1, ago: 1h}
        raised: {far: 1h}
        seen: [/]
      expect: {decision: allow, risk: {score: 26.5, signals: [far, new-device, unsafe]}}
"""


def test_cases_give_what_look_ups_would_have_answered_and_expect_the_risk(tmp_path: Path) -> None:
    file = tmp_path / "risk.yaml"
    file.write_text(RISK + RISK_CASES)
    result = invoke("test", str(file))
    assert result.exit_code == 0, result.output
    file.write_text(RISK + RISK_CASES.replace("score: 76, level: high", "score: 77, level: top"))
    result = invoke("test", "--format", "json", str(file))
    assert result.exit_code == 1
    (failed,) = (case for case in json.loads(result.stdout)["cases"] if case["differences"])
    assert failed["differences"] == [
        "risk: `score`: expected `77.0`, got `76.0`",
        "risk: `level`: expected `top`, got `high`",
    ]
    (risk,) = failed["risk"]
    assert {one["name"]: (one["counted"], one["trace"]["value"]) for one in risk["signals"]} == {
        "new-device": (20.0, True),
        "often": (40.0, True),
        "unusual": (5.0, True),
        "far": (7.0, True),
        "unsafe": (3.0, True),
        "first": (1.0, True),
    }
