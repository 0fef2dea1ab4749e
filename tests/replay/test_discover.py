"""Drafts from recorded traffic: narrow, valid, tested, and honest about what stands out."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy.making import WEB, caller, compiled, document, evaluate, http, rule, tcp
from replay.recording import recorded
from typer.testing import CliRunner

from extauthz.cli.commands import app
from extauthz.history.discover import Traffic
from extauthz.history.draft import draft
from extauthz.history.routes import routes
from extauthz.policy import templates
from extauthz.policy.load import load_text
from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Allow
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

PAY = "spiffe://prod.example.org/ns/pay/sa/api"
IN_FORCE = compiled(
    document(
        "site",
        rule("all", "allow", paths=["/v1/**"]),
        rule("web-orders", "allow", workloads=[WEB], paths=["/v1/orders/**"]),
        rule("web-refunds", "allow", workloads=["spiffe://prod.example.org/ns/shop/sa/*"], paths=["/v1/refunds/**"]),
        rule("never", "allow", paths=["/never"]),
        rule("no-deletes", "deny", methods=["DELETE"]),
        rule("tcp", "allow", tcp=True, workloads=[PAY]),
    )
)


def traffic(*checks: tuple[RequestView, Identity], policies: PolicySet = IN_FORCE) -> Traffic:
    """What is learnt from these requests, as these policies decided them."""
    learnt = Traffic()
    for request, identity in checks:
        learnt.take(recorded(evaluate(policies, request, identity), request, identity))
    return learnt


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["/orders/1", "/orders/2"], {"/orders/{order}"}),
        (["/orders/1"], {"/orders/{order}"}),
        (["/orders/new", "/orders/7"], {"/orders/new", "/orders/{order}"}),
        (["/v1/users/6f1c0c1e-6f2b-4a55-9c3e-2f6f5d7f6c11/keys/9"], {"/v1/users/{user}/keys/{key}"}),
        (["/a/acc-13", "/a/acc-14"], {"/a/{a}"}),
        (["/login/oauth2"], {"/login/oauth2"}),
        (["/v1/x", "/v2/x"], {"/v1/x", "/v2/x"}),
        (["/policies/1/1"], {"/policies/{policy}/{id}"}),
        (["/"], {"/"}),
        (["/x/{odd}", "/x/a*b"], {"/x/{x}"}),
        ([f"/tag/{word}" for word in "abcdefghijk"], {"/tag/{tag}"}),
        ([f"/tag/{word}" for word in "abc"], {"/tag/a", "/tag/b", "/tag/c"}),
    ],
)
def test_segments_that_vary_become_wildcards(paths: list[str], found: set[str]) -> None:
    assert set(routes([tuple(path.split("/")[1:]) if path != "/" else () for path in paths]).values()) == found


segments = st.one_of(
    st.sampled_from(("orders", "1", "22", "a1", "b2", "v1", "{x}", "*", "..", "ä", "x y", "deadbeef01")),
    st.text(min_size=1, max_size=8).filter(lambda text: "/" not in text),
)


@given(st.lists(st.lists(segments, max_size=4).map(tuple), min_size=1, max_size=20))
def test_every_path_has_a_valid_template_that_fits_it(paths: list[tuple[str, ...]]) -> None:
    for path, template in routes(paths).items():
        assert templates.parse(template).fits(path)


def test_a_draft_allows_what_was_allowed_and_nothing_beside_it() -> None:
    learnt = traffic(
        (http("/v1/orders/1", "GET"), caller(workload=WEB)),
        (http("/v1/orders/2", "GET"), caller(workload=WEB)),
        (http("/v1/orders/2", "POST"), caller(sub="u1", workload=WEB)),
        (http("/v1/orders/2", "DELETE"), caller(sub="u1", workload=WEB)),
        (http("/v1/status"), Identity()),
    )
    (one,) = draft(learnt)
    policies = load_text(one.policy)

    def allows(path: str, method: str, identity: Identity) -> bool:
        return isinstance(evaluate(policies, http(path, method), identity).decision, Allow)

    assert allows("/v1/orders/77", "GET", caller(workload=WEB))
    assert allows("/v1/orders/77", "POST", caller(sub="u9", workload=WEB))
    assert allows("/v1/status", "GET", Identity())
    assert not allows("/v1/orders/77", "GET", caller(workload=PAY))
    assert not allows("/v1/orders/77", "POST", caller(workload=WEB))
    assert not allows("/v1/orders/77", "DELETE", caller(sub="u1", workload=WEB))
    assert not allows("/v1/orders/77/items", "GET", caller(workload=WEB))
    assert not allows("/v1/orders", "GET", caller(workload=WEB))
    assert not evaluate(policies, http("/v1/status", host="other.test")).decision.rule


def test_critical_routes_get_a_challenge_in_shadow_that_nobody_feels() -> None:
    user = caller(sub="u1")
    learnt = traffic(
        (http("/v1/transfers/1", "POST"), user),
        (http("/v1/news/1", "GET"), user),
    )
    critical = {(route.method, route.template) for route in learnt.routes() if route.points >= 2}
    assert critical == {("POST", "/v1/transfers/{transfer}")}
    policies = load_text(draft(learnt)[0].policy)
    (step_up,) = [one for one in policies.rules if one.effect == "challenge"]
    assert step_up.mode == "shadow"
    assert isinstance(evaluate(policies, http("/v1/transfers/9", "POST"), user).decision, Allow)


def test_what_nobody_uses_is_named() -> None:
    learnt = traffic((http("/v1/orders/1"), caller(workload=WEB)), (http("/v1/x"), caller(workload=PAY)))
    assert learnt.unused_allows(IN_FORCE) == ["site/never", "site/web-refunds"]
    assert learnt.unused_allows(None) == []
    assert [(one.workload, one.rule) for one in learnt.excess(IN_FORCE)] == [(WEB, "site/web-refunds")]


def test_a_denial_that_the_draft_would_allow_is_told() -> None:
    policies = compiled(
        document("p", rule("some", "allow"), rule("not-13", "deny", when="request.path == '/orders/13'"))
    )
    learnt = traffic(
        (http("/orders/12"), Identity()),
        (http("/orders/13"), caller(sub="u1")),
        policies=policies,
    )
    assert [one.now_allowed for one in draft(learnt)] == [("GET app.example/orders/12",)]


callers = st.builds(caller, sub=st.sampled_from((None, "u1")), workload=st.sampled_from((None, WEB, PAY)))
checks = st.tuples(
    st.one_of(
        st.builds(
            http,
            st.sampled_from(("/", "/v1/orders/1", "/v1/orders/new", "/v1/a%20b/%7Bx%7D", "/v1/user/a1", "/v1/%C3%A4")),
            st.sampled_from(("GET", "HEAD", "POST", "DELETE")),
            host=st.sampled_from(("app.example", "10.0.0.1:8080", "x", "true", "y")),
        ),
        st.builds(tcp),
    ),
    callers,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(checks, min_size=1, max_size=12))
def test_every_draft_is_valid_passes_its_tests_and_allows_all_that_was_allowed(
    seen: list[tuple[RequestView, Identity]],
) -> None:
    drafted = draft(traffic(*seen))
    if not drafted:
        return
    policies = load_text("\n---\n".join(one.policy for one in drafted))
    assert any(one.tests for one in drafted)
    for request, identity in seen:
        if isinstance(evaluate(IN_FORCE, request, identity).decision, Allow):
            assert isinstance(evaluate(policies, request, identity).decision, Allow)


def audit_file(path: Path, *checks: tuple[RequestView, Identity]) -> Path:
    lines = [recorded(evaluate(IN_FORCE, request, identity), request, identity) for request, identity in checks]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines) + b"broken\n")
    return path


def invoke(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done


def test_the_command_writes_files_that_pass_check_and_test(tmp_path: Path) -> None:
    audit = audit_file(
        tmp_path / "audit.jsonl",
        (http("/v1/orders/1", "POST"), caller(sub="u1", workload=WEB)),
        (http("/v1/orders/2", "DELETE"), caller(sub="u1", workload=WEB)),
        (tcp(), caller(workload=PAY)),
    )
    told = json.loads(
        invoke("policy", "discover", "--audit", audit, "--out", tmp_path / "draft", "--format", "json").stdout
    )
    assert (told["records"], told["malformed"]) == (3, 1)
    assert sorted(Path(path).name for path in told["files"]) == [
        "draft-app-example.test.yaml",
        "draft-app-example.yaml",
        "draft-tcp.test.yaml",
        "draft-tcp.yaml",
    ]
    assert json.loads(invoke("policy", "check", tmp_path / "draft", "--format", "json").stdout)["ok"] is True
    tested = json.loads(invoke("policy", "test", tmp_path / "draft", "--format", "json").stdout)
    assert (tested["failed"], tested["passed"] > 2) == (0, True)


@pytest.mark.parametrize(
    ("out", "said"),
    [("other", "is not empty"), ("policies", "is among the policies"), ("policies/draft", "is among the policies")],
)
def test_no_draft_comes_to_stand_among_policies(tmp_path: Path, out: str, said: str) -> None:
    audit = audit_file(tmp_path / "audit.jsonl", (http("/v1/transfers/1", "POST"), caller(sub="u1")))
    for folder in ("other", "policies"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.yaml").write_text(json.dumps(document("p", rule("all", "allow"))))
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--audit", audit, "--policy", tmp_path / "policies", "--out", tmp_path / out]
    done = CliRunner().invoke(app, ["policy", "discover", *map(str, arguments)])
    assert done.exit_code == 1
    assert said in str(done.exception)
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_folder_the_draft_goes_to_standard_output(tmp_path: Path) -> None:
    audit = audit_file(tmp_path / "audit.jsonl", (http("/v1/transfers/1", "POST"), caller(sub="u1")))
    done = invoke("policy", "discover", "--audit", audit)
    assert len(load_text(done.stdout).rules) == 2
    assert "looks critical" in done.stderr
    assert "1 record, 1 route, 1 line is no record" in done.stderr
    assert "seen 1 time\n" in done.stdout


def test_one_denial_is_one_denial() -> None:
    denied = (http("/never/1", "POST"), caller(sub="u1"))
    assert [traffic(*[denied] * times).routes()[0].reasons[-1] for times in (1, 2)] == ["1 denial", "2 denials"]


def test_a_file_without_records_is_no_source_of_a_draft(tmp_path: Path) -> None:
    empty = audit_file(tmp_path / "audit.jsonl")
    done = CliRunner().invoke(app, ["policy", "discover", "--audit", str(empty), "--out", str(tmp_path / "draft")])
    assert done.exit_code == 1
    assert str(done.exception).startswith(f"{empty}: holds no record of a decision, but 1 other line; ")
    assert not (tmp_path / "draft").exists()
