"""`extauthz policy check` as people, programs and code scanning meet it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import extauthz
from extauthz.cli.policy import app
from extauthz.policy.lint.findings import KINDS

ROOT = Path(__file__).parents[2]
OPEN = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  hosts: [app.example]
  rules:
    - name: everybody
      paths: [/a/**]
      effect: allow
    - name: guarded
      paths: [/a/b]
      effect: challenge
      challenge: {factors: [totp]}
"""


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(OPEN)
    return path


def test_warnings_are_drawn_with_place_and_hint_and_fail_only_a_strict_check(file: Path) -> None:
    told = check(file)
    assert told.exit_code == 0
    assert told.stderr.startswith(
        f"{file}:8:14: warning: the allow `p/everybody` also covers paths beside and below those that `p/guarded` does "
        "not guard; end the guard's paths in `/**`, or name single paths in the allow [guard-misses-paths]\n"
        "    8 |       paths: [/a/**]\n"
        "      |              ^\n"
        f"{file}:9:15: warning: the allow `p/everybody` has no condition"
    )
    assert told.stdout.startswith("2 rules, no errors, 2 warnings, revision sha256:")
    strict = check(file, "--strict")
    assert (strict.exit_code, strict.stdout, strict.stderr) == (1, told.stdout, told.stderr)


def test_a_limit_of_idleness_is_held_against_how_often_activity_is_written(file: Path, tmp_path: Path) -> None:
    file.write_text(
        OPEN.replace("      effect: allow\n", '      when: session.idle < duration("5m")\n      effect: allow\n')
    )
    config = tmp_path / "extauthz.yaml"
    for every, is_told in (("1m", False), ("5m", True)):
        config.write_text(f"policies: [policy.yaml]\nsessions: {{touch_every: {every}}}\n")
        assert ("is compared with 300 s, and activity is written every 300 s" in check("--config", config).stderr) is (
            is_told
        )
    assert "short-idle-limit" not in check(file).stderr


def test_a_rule_that_somebody_is_to_be_told_of_and_that_is_not_there_is_told(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "extauthz.yaml"
    config.write_text(
        "policies: [policy.yaml]\n"
        "events:\n"
        "  webhooks:\n"
        "    - name: siem\n"
        "      url: https://siem.example.com/in\n"
        "      secrets: [{file: siem.secret}]\n"
        "      rules: [p/*, p/everybody, p/gaurded, q/*]\n"
    )
    told = check(file, "--config", config).stderr
    assert (
        f"{config}:7:33: warning: there is no rule `p/gaurded`, so that nobody is ever told of it; did you mean "
        "`p/guarded`? [unknown-rule]\n    7 |       rules: [p/*, p/everybody, p/gaurded, q/*]\n"
    ) in told
    assert "there is no rule `q/*`" in told
    assert told.count("[unknown-rule]") == 2
    assert "[unknown-rule]" not in check(file).stderr


def test_a_challenge_that_nobody_can_meet_is_told_with_what_would_do(file: Path, tmp_path: Path) -> None:
    file.write_text(OPEN.replace("[totp]", "[webauthn, oidc]"))
    assert "unmeetable-guard" not in check(file).stderr
    config = tmp_path / "extauthz.conf"
    config.write_text("policies: [.]\n")
    assert (
        f"{file}:13:28: warning: nobody can meet the challenge `p/guarded`: `webauthn`, `oidc` can't be proven as "
        "it is configured; configure `stepup.webauthn`, or name `recovery`, `totp` too [unmeetable-guard]\n"
    ) in check(file, "--config", config).stderr
    config.write_text("policies: [.]\nstepup: {webauthn: {id: example.com, origins: ['https://app.example.com']}}\n")
    assert "unmeetable-guard" not in check(file, "--config", config).stderr


def test_an_approval_that_nobody_can_give_is_told_at_the_effect(file: Path, tmp_path: Path) -> None:
    text = OPEN.replace("effect: challenge", "effect: approve")
    file.write_text(text.replace("challenge: {factors: [totp]}", "approve: {approvers: {groups: [treasury]}}"))
    assert "unmeetable-guard" not in check(file).stderr
    config = tmp_path / "extauthz.conf"
    config.write_text("policies: [.]\n")
    assert (
        f"{file}:12:15: warning: nobody can meet the approve `p/guarded`: approvers can't log in as it is configured; "
        "configure `approvals.url`, or `approvals.tokens` [unmeetable-guard]\n"
    ) in check(file, "--config", config).stderr
    config.write_text("policies: [.]\napprovals: {url: 'https://approvals.example.com'}\n")
    assert "unmeetable-guard" not in check(file, "--config", config).stderr


SETTINGS = """\
policies: [.]
identity:
  users:
    - {{name: own, issuer: "https://own.example", audiences: [shop], jwks: "https://own.example/keys"}}
    - {{name: partner, issuer: "https://partner.example", audiences: [shop], jwks: "https://partner.example/keys"}}
approvals:
  url: https://approvals.example.com
  persons: {{claim: email}}
  claims: [{claims}]
  {approvers}
stepup: {{webauthn: {{id: example.com, origins: [{origins}]}}}}
"""
APPROVED = """\
    - name: guarded
      paths: [/a/b]
      effect: approve
      approve:
        approvers: {when: approver.claims.limit > 1, factors: [webauthn]}
        break_glass: {groups: [on-duty], factors: [webauthn]}
"""


def test_what_an_approve_asks_for_is_held_against_the_configuration(file: Path, tmp_path: Path) -> None:
    file.write_text(OPEN.partition("    - name: guarded")[0] + APPROVED)
    config = tmp_path / "extauthz.conf"
    login = 'login: {issuer: "https://own.example", client_id: desk}'
    page, pages = "https://app.example.com", "https://app.example.com, https://approvals.example.com"
    known = {"claims": "limit", "approvers": login, "origins": pages}
    config.write_text(SETTINGS.format(**known))
    told = check("--config", config)
    assert (told.exit_code, "unmeetable-guard" in told.stderr) == (0, False), told.stderr

    config.write_text(SETTINGS.format(**{**known, "origins": page}))
    assert (
        f"{file}:14:63: warning: nobody can meet the approve `p/guarded`: `webauthn` can't be proven by approvers; "
        "name `oidc`, `recovery`, `totp` too, or see what `webauthn` needs on the approvers' pages [unmeetable-guard]\n"
    ) in check("--config", config).stderr

    config.write_text(SETTINGS.format(**{**known, "claims": "department", "approvers": "keep: 30d"}))
    told = check("--config", config)
    assert told.exit_code == 1
    assert f"{file}:14:27: the claim `limit` of approvers is not kept; add `limit` to `approvals.claims`" in told.stderr
    assert f"{file}:15:9: groups of each of 2 issuers would break the glass: `https://own.example`," in told.stderr
    assert told.stderr.splitlines()[-1] == "2 errors"

    config.write_text(SETTINGS.format(**known).partition("stepup:")[0])
    told = check("--config", config)
    assert f"{file}:15:51: nobody can break the glass: `webauthn` can't be proven as it is configured" in told.stderr
    assert told.exit_code == 1


def test_files_that_are_named_twice_are_read_once(file: Path) -> None:
    told = check(file, "--format", "json").stdout
    (file.parent / "link.yaml").symlink_to(file)
    for again in (
        [file, file],
        [file.parent, file],
        [file, file.parent],
        [file.parent, f"{file.parent}/../{file.parent.name}"],
    ):
        assert json.loads(check(*again, "--format", "json").stdout)["revision"] == json.loads(told)["revision"]


def test_definitions_can_be_checked_alone(file: Path) -> None:
    text = "apiVersion: extauthz/v1\nkind: Definitions\nmetadata: {name: d}\nspec: {lists: {staff: [a]}}\n"
    file.write_text(text)
    told = check(file)
    assert told.exit_code == 0
    assert told.stdout.startswith("0 rules, no errors, revision sha256:")
    file.write_text(text.replace("[a]", "[a, 1]"))
    assert check(file).stderr.startswith(f"{file}:4:23: `staff` holds values of several types")


def test_a_configuration_is_no_policy_and_leads_to_its_policies(file: Path) -> None:
    config = file.parent / "extauthz.yaml"
    config.write_text("policies: [policy.yaml]\nlisten: {grpc: 127.0.0.1:9191}\nunknown: 5\n")
    told = check(config)
    assert told.exit_code == 1
    command = f"extauthz policy check --config {config}"
    assert told.stderr.splitlines()[0] == (
        f"{config}:1:1: a configuration of extauthz, no policy; to check its policies, run `{command}`"
    )
    assert told.stderr.splitlines()[-1] == "1 error"
    config.write_text("policies: [policy.yaml]\n")
    led = check("--config", config)
    assert (led.exit_code, led.stdout, led.stderr) == (0, check(file).stdout, check(file).stderr)


def test_a_check_of_nothing_says_what_is_missing() -> None:
    told = check()
    assert told.exit_code == 2
    assert "name the files and folders to check" in told.stderr


def test_a_policy_without_warnings_passes_a_strict_check(file: Path) -> None:
    file.write_text(OPEN.replace("/a/**", "/a/b").replace("effect: allow", "when: has(user.sub)\n      effect: allow"))
    told = check(file, "--strict")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.startswith("2 rules, no errors, revision sha256:")


def test_warnings_for_programs(file: Path) -> None:
    told = json.loads(check(file, "--format", "json").stdout)
    assert (told["ok"], told["problems"], told["rules"]) == (True, [], 2)
    assert told["revision"].startswith("sha256:")
    assert [(one["kind"], one["rule"], one["line"], one["column"]) for one in told["warnings"]] == [
        ("guard-misses-paths", "p/everybody", 8, 14),
        ("open-allow", "p/everybody", 9, 15),
    ]
    assert all(one["message"] and one["hint"] and one["file"] == str(file) for one in told["warnings"])


def test_a_wrong_document_has_errors_and_no_warnings(file: Path) -> None:
    file.write_text(OPEN.replace("/a/b", "a/b"))
    told = json.loads(check(file, "--format", "json").stdout)
    assert (told["ok"], told["warnings"], len(told["problems"])) == (False, [], 1)
    assert check(file).exit_code == 1


def test_the_configuration_names_headers_hosts_and_trust_domains(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "extauthz.conf"
    config.write_text(
        "policies: [.]\n"
        "request: {hosts: ['www.example'], headers: [x-tier]}\n"
        "identity: {workload: {trust_domains: [prod.example.org]}}\n"
    )
    file.write_text(
        OPEN.replace("effect: allow", 'workloads: ["spiffe://dev.example.org/**"]\n      effect: allow')
        .replace("/a/**", "/a/b")
        .replace("effect: challenge", "when: \"'x-tier' in request.headers\"\n      effect: challenge")
    )
    kinds = [one["kind"] for one in json.loads(check(file, "--format", "json").stdout)["warnings"]]
    assert kinds == []
    told = json.loads(check(file, "--format", "json", "--config", config).stdout)
    assert [(one["kind"], one["line"]) for one in told["warnings"]] == [("foreign-host", 5), ("foreign-workload", 9)]
    file.write_text(file.read_text().replace("x-tier", "x-other"))
    assert json.loads(check(file, "--format", "json", "--config", config).stdout)["ok"] is False


def test_the_configuration_names_lists_and_databases_of_addresses(file: Path, tmp_path: Path) -> None:
    """They need not be there: it is the names that are checked."""
    config = tmp_path / "extauthz.conf"
    config.write_text("policies: [.]\naddresses: {partners: partners.txt}\ngeo: {asn: asn.mmdb}\n")
    for when, errors in (
        ('listed(client.ip, "partners")', []),
        ('listed(client.ip, "partner")', ["no list of addresses is called `partner`"]),
        ("has(geo.asn) && geo.asn == 1", []),
        ('has(geo.city) && geo.city == "Bern"', ["no database gives `geo.city`"] * 2),
    ):
        file.write_text(OPEN.replace("effect: allow", f"when: {json.dumps(when)}\n      effect: allow"))
        assert json.loads(check(file, "--format", "json").stdout)["ok"]
        told = json.loads(check(file, "--format", "json", "--config", config).stdout)
        assert [one["message"] for one in told["problems"]] == errors


def test_a_host_of_the_configuration_is_one_that_policies_can_name(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "extauthz.conf"
    config.write_text("policies: [.]\nrequest: {hosts: ['http://www.example']}\n")
    told = check(file, "--config", config)
    assert told.exit_code == 1
    assert "`http://www.example` is not a host" in str(told.exception)


def valid(log: dict[str, Any]) -> list[dict[str, Any]]:
    """What SARIF 2.1.0 demands of a log as we write it; its results. Section numbers are those of the standard."""
    assert log["version"] == "2.1.0"  # 3.13.2
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "extauthz"
    assert driver["version"] == extauthz.__version__
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")  # 3.14.17
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        for name in ("shortDescription", "fullDescription", "help"):
            assert rule[name]["text"]  # 3.12: a message has a text
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")  # 3.27.10
    prints = set()
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]  # 3.27.6
        assert result["level"] in ("warning", "error")
        assert result["message"]["text"]
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            place = location["physicalLocation"]
            assert re.fullmatch(r"(file:///)?[A-Za-z0-9._~%/-]+", place["artifactLocation"]["uri"])  # RFC 3986
            if "region" in place:
                assert place["region"]["startLine"] >= 1  # 3.30.5
                assert place["region"]["startColumn"] >= 1  # 3.30.6
        assert [one["id"] for one in result.get("relatedLocations", ())] == list(
            range(len(result.get("relatedLocations", ())))
        )
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
        prints.add(tuple(result["partialFingerprints"].items()))
    assert len(prints) == len(run["results"])
    results: list[dict[str, Any]] = run["results"]
    return results


def test_sarif_shows_warnings_in_place(file: Path) -> None:
    results = valid(json.loads(check(file, "--format", "sarif").stdout))
    assert [one["ruleId"] for one in results] == ["guard-misses-paths", "open-allow"]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": file.as_uri()}, "region": {"startLine": 8, "startColumn": 14}}
    (related,) = results[0]["relatedLocations"]
    assert related["physicalLocation"]["region"]["startLine"] == 10
    assert related["message"]["text"] == "`p/guarded` is here"


def test_sarif_shows_errors_too(file: Path) -> None:
    file.write_text(OPEN.replace("/a/b", "a/b").replace("effect: allow", "efect: allow"))
    told = check(file, "--format", "sarif")
    assert told.exit_code == 1
    results = valid(json.loads(told.stdout))
    assert {(one["ruleId"], one["level"]) for one in results} == {("policy-error", "error")}
    missing = check(file.with_name("missing.yaml"), "--format", "sarif")
    assert "region" not in valid(json.loads(missing.stdout))[0]["locations"][0]["physicalLocation"]


def test_a_relative_path_stays_relative_and_is_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a policy.yaml").write_text(OPEN)
    monkeypatch.chdir(tmp_path)
    results = valid(json.loads(check("a policy.yaml", "--format", "sarif").stdout))
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "a%20policy.yaml"}


def test_a_fingerprint_outlives_what_moves_in_the_file(file: Path) -> None:
    before = valid(json.loads(check(file, "--format", "sarif").stdout))
    file.write_text(
        "# A line\n# and another one.\n" + OPEN.replace("hosts: [app.example]", "hosts:\n    - app.example")
    )
    after = valid(json.loads(check(file, "--format", "sarif").stdout))
    assert [one["partialFingerprints"] for one in before] == [one["partialFingerprints"] for one in after]
    assert before[0]["locations"] != after[0]["locations"]


def test_the_corpus_is_valid_sarif_as_a_whole() -> None:
    results = valid(json.loads(check(Path(__file__).parent / "corpus/absent-values.yaml", "--format", "sarif").stdout))
    assert len(results) > 10


def test_the_policies_of_the_quickstart_pass_a_strict_check() -> None:
    told = check(ROOT / "extauthz/cli/quickstart/policies", "--strict")
    assert told.exit_code == 0, told.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/policies.md"])
def test_the_examples_of_the_documentation_pass_a_strict_check(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    policies = [block for block in blocks if "kind: Policy\n" in block]
    assert policies
    for number, block in enumerate(policies):
        (tmp_path / f"{number}.yaml").write_text(block)
    told = check(tmp_path, "--strict")
    assert told.exit_code == 0, told.stderr


def test_the_manual_lists_every_warning_with_its_summary() -> None:
    manual = (ROOT / "docs/linting.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \|", manual, re.MULTILINE) == list(KINDS)
    assert all(f"| `{name}` | {kind.summary.lower()[0]}{kind.summary[1:]}" in manual for name, kind in KINDS.items())
