"""`kind: WorkloadAttributes`: what the platform writes, and what conditions make of it."""

import json
import re
from pathlib import Path

import pytest
from identity.checks import build_request

from extauthz.policy.attributes import read_attributes
from extauthz.policy.cases import read_cases
from extauthz.policy.decide import decide
from extauthz.policy.load import load_text
from extauthz.policy.problems import PolicyErrors
from extauthz.policy.trial import run
from extauthz.policy.yaml_source import load_documents
from extauthz.values.grants import NO_FACTS
from extauthz.values.identity import Identity, Workload

PAGE = (Path(__file__).parents[2] / "docs" / "identity" / "attributes.md").read_text()
_, FILE, POLICY, CASE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
WEB = "spiffe://prod.example.org/ns/shop/sa/web"


def decision(attributes: dict[str, str] | None) -> str:
    policies = load_text(POLICY.replace("/v1/transfers", "/**"))
    path = "/ns/shop/sa/web"
    workload = Workload(id=WEB, trust_domain="prod.example.org", path=path, verified_by="x", attributes=attributes)
    request, identity = build_request(), Identity(workload=workload)
    candidates = policies.candidates(request, identity)
    ruled = decide(candidates, request=request, identity=identity, facts=NO_FACTS, now=0.0, binding_keys=[b"k"])
    return f"{type(ruled.decision).__name__.lower()} {ruled.rules[0].result}"


def test_the_example_of_the_page_decides_by_the_file_of_the_page() -> None:
    known = dict(read_attributes(FILE.encode(), "attributes.yaml")[WEB])
    assert set(known) == {"image", "environment", "build"}
    assert decision(known) == "allow match"
    assert decision({**known, "build": "4712"}) == "deny no-match"
    assert decision({}) == "deny error"
    assert decision(None) == "deny error"


def test_the_case_of_the_page_comes_out_as_it_expects() -> None:
    def outcome(case: str) -> tuple[str, tuple[str, ...]]:
        head = "apiVersion: extauthz/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n  cases:\n"
        (suite,) = read_cases(load_documents(head + case, "test.yaml"))
        (ran,) = run(suite, load_text(POLICY))
        return ran.decision, ran.differences

    assert outcome(CASE) == ("allow", ())
    assert outcome(CASE.replace("4711", "4712"))[0] == "deny"
    assert outcome(re.sub("facts:.*", "", CASE))[0] == "deny"


def test_the_file_may_be_json() -> None:
    spec = {"workloads": {WEB: {"build": "1"}}}
    document = {"apiVersion": "extauthz/v1", "kind": "WorkloadAttributes", "metadata": {"name": "a"}, "spec": spec}
    assert read_attributes(json.dumps(document, indent=1).encode(), "a.json") == spec["workloads"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"4711"', "4711", 10),
        ("/sa/web", "/sa/*", 7),
        ("WorkloadAttributes", "Policy", 3),
        ("      build:", "      image:", 10),
        ("environment", "-environment", 9),
        ("workloads:", "workload:", 6),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, line: int) -> None:
    with pytest.raises(PolicyErrors) as caught:
        read_attributes(FILE.replace(old, new).encode(), "attributes.yaml")
    assert line in {problem.line for problem in caught.value.problems}


@pytest.mark.parametrize("content", [b"", b"a", b"\xff", b"[]", FILE.encode() + b"---\n" + FILE.encode()])
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(PolicyErrors):
        read_attributes(content, "attributes.yaml")
