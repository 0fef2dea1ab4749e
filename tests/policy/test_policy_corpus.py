"""Every file in `corpus/` is one decision: policies, a request, who calls, facts, and what must come out.

Adding a case is adding a file. `errors` holds, for every rule that must have erred, a part of the recorded text.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from policy.making import approval, caller, compiled, evaluate, grant, http, tcp, vote

from extauthz.values.decisions import Allow, Challenge, Deny, Hold
from extauthz.values.grants import Facts

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "decisions").glob("*.yaml"))
WORDS = {Allow: "allow", Deny: "deny", Challenge: "challenge", Hold: "hold"}


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_a_corpus_case_comes_out_as_expected(file: Path) -> None:
    case: dict[str, Any] = yaml.safe_load(file.read_text())
    policies = compiled(*case["policies"])
    asked = dict(case.get("request", {}))
    if "body" in asked:
        asked["body"] = asked["body"].encode()
    request = tcp(**asked.pop("tcp")) if "tcp" in asked else http(**asked)
    facts = Facts(
        grants=(
            *(grant(**one) for one in case.get("grants", [])),
            *(
                approval(one["binding"], *(vote(**given) for given in one["votes"]))
                for one in case.get("approvals", [])
            ),
        ),
        device=case.get("device", {}),
        geo=case.get("geo", {}),
    )
    evaluation = evaluate(policies, request, caller(**case.get("caller", {})), facts=facts)
    decision, expected = evaluation.decision, case["expect"]
    assert WORDS[type(decision)] == expected["decision"]
    assert decision.rule == expected["rule"]
    assert decision.reason == expected["reason"]
    if "status" in expected:
        assert isinstance(decision, Deny)
        assert decision.status == expected["status"]
    if "headers" in expected:
        assert isinstance(decision, Allow)
        assert dict(decision.mutations.headers) == expected["headers"]
    assert {one.rule: one.result for one in evaluation.rules} == expected["rules"]
    errors = {one.rule: one.error or "" for one in evaluation.rules if one.result == "error"}
    assert errors.keys() == expected.get("errors", {}).keys()
    for name, part in expected.get("errors", {}).items():
        assert part in errors[name]


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) >= 20
