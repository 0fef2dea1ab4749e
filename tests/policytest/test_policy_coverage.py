"""`extauthz policy test`: what it finds untried."""

from pathlib import Path

from policytest.shop import invoke
from policytest.writing import cases, policy, told

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
