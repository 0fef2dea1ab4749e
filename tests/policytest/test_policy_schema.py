"""The JSON Schema agrees with what the documents may say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from policytest.shop import invoke, write

from extauthz.policy.load import read_documents
from extauthz.policy.schema import json_schema

ROOT = Path(__file__).parents[2]
SHIPPED = [ROOT / "extauthz" / "cli" / "quickstart" / "policies", ROOT / "tests" / "e2e" / "policies"]
VALIDATOR = Draft202012Validator(json_schema())


def documents(*paths: Path) -> list[Any]:
    return [document.value for document in read_documents(list(paths), [])]


def rule(**fields: object) -> dict[str, Any]:
    return {
        "apiVersion": "extauthz/v1",
        "kind": "Policy",
        "metadata": {"name": "p"},
        "spec": {"rules": [{"name": "r", "effect": "allow", **fields}]},
    }


def test_the_schema_is_one_of_draft_2020_12_and_is_what_is_printed() -> None:
    printed = json.loads(invoke("schema").stdout)
    Draft202012Validator.check_schema(printed)
    assert printed == json_schema()
    assert [kind["properties"]["kind"]["const"] for kind in printed["oneOf"]] == [
        "Policy",
        "RiskModel",
        "Definitions",
        "PolicyTest",
    ]


def test_shipped_policies_fit_the_schema(tmp_path: Path) -> None:
    shipped = documents(*SHIPPED, write(tmp_path))
    assert len(shipped) >= 5
    for document in shipped:
        VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "fields",
    [
        {"when": "true", "methods": ["GET"], "expires": "2026-11-21T10:00:00Z", "audit": "required"},
        {
            "effect": "challenge",
            "challenge": {"factors": ["totp"], "max_age": "1h30m", "bind": {"scope": ["user.sub"]}},
        },
        {"effect": "deny", "deny": {"status": 404, "reason": "not-here", "headers": {"Retry-After": "9"}}},
        {"effect": "approve", "approve": {"approvers": {"groups": ["g"]}, "hold": "20s"}, "mode": "shadow"},
        {"mode": {"enforce_for": {"percent": 10, "subjects": ["a", {"issuer": "https://i", "sub": "b"}]}}},
    ],
)
def test_what_a_rule_may_say_fits(fields: dict[str, Any]) -> None:
    VALIDATOR.validate(rule(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"wehn": "true"},
        {"when": None},
        {"name": "a/b"},
        {"methods": ["get"]},
        {"methods": []},
        {"effect": "permit"},
        {"effect": "challenge"},
        {"effect": "challenge", "challenge": {"factors": ["totp"], "max_age": 300}},
        {"effect": "challenge", "challenge": {"factors": ["totp"]}, "deny": {}},
        {"effect": "deny", "deny": {"status": 200}},
        {"expires": "tomorrow"},
        {"tcp": "yes"},
        {"mode": "off"},
    ],
)
def test_what_a_rule_may_not_say_does_not_fit(fields: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(rule(**fields))


def test_no_rule_may_be_expected_in_a_test_and_nothing_else_may_be_null() -> None:
    def case(**expect: object) -> dict[str, Any]:
        return {
            "apiVersion": "extauthz/v1",
            "kind": "PolicyTest",
            "metadata": {"name": "t"},
            "spec": {"cases": [{"name": "c", "expect": {"decision": "deny", **expect}}]},
        }

    assert VALIDATOR.is_valid(case(rule=None))
    assert not VALIDATOR.is_valid(case(reason=None))


@pytest.mark.parametrize(
    ("signal", "fits"),
    [
        ({"when": "true", "weight": 20, "reason": "new"}, True),
        ({"when": "true", "weight": 0.5, "reason": "new", "half_life": "6h", "since": "now"}, True),
        ({"when": "true", "weight": 0, "reason": "new"}, False),
        ({"when": "true", "weight": 1}, False),
        ({"when": "true", "weight": 1, "reason": "new", "half_life": 6}, False),
        ({"when": "true", "wieght": 1, "reason": "new"}, False),
    ],
)
def test_what_a_signal_may_say_fits(signal: dict[str, Any], fits: bool) -> None:
    model = {
        "apiVersion": "extauthz/v1",
        "kind": "RiskModel",
        "metadata": {"name": "default"},
        "spec": {"signals": {"new-device": signal}, "levels": {"low": 0, "high": 60.5}},
    }
    assert VALIDATOR.is_valid(model) is fits
