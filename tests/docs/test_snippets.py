"""What the pages show can be meant: commands exist with their options, YAML and JSON can be read as what they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.snippets import Block, blocks, commands, wrong_in
from jsonschema import Draft202012Validator

from extauthz.policy.declared import Declared
from extauthz.policy.load import load_text
from extauthz.policy.schema import json_schema
from extauthz.settings import Settings, load_settings
from extauthz.settings.schema import json_schema as settings_schema

SCHEMA = json_schema()
RULE = Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": "#/$defs/Rule"}]})
DOCUMENT = Draft202012Validator(SCHEMA)
CONFIGURATION = Draft202012Validator(settings_schema())
SETTINGS = frozenset(Settings.model_fields)
KINDS = frozenset(one["properties"]["kind"]["const"] for one in SCHEMA["oneOf"])
CHART = "docs/kubernetes.md"
"""Its YAML is values of the chart, which tests/deploy reads."""
POLICIES = [
    block
    for block in blocks("yaml")
    if "apiVersion: extauthz/v1" in block.text
    and "kind: PolicyTest" not in block.text
    and "kind: Workload" not in block.text
    and CHART not in block.place
]
DECLARED = Declared(addresses=frozenset({"tor-exits"}))


class Loader(yaml.SafeLoader):
    """Dates are text, as our own reader has them."""


Loader.yaml_implicit_resolvers = {
    first: [one for one in several if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, several in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def documents(block: Block) -> list[Any]:
    return [one for one in yaml.load_all(block.text, Loader) if one is not None]


def test_every_command_that_a_page_names_is_there_with_its_options() -> None:
    written = list(commands())
    assert len(written) > 150
    assert [f"{one.place}: {wrong}" for one in written if (wrong := wrong_in(one.words))] == []


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.place)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text.replace(", …}", "}"))


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.place)
def test_yaml_is_what_it_looks_like(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for document in documents(block):
        match document:
            case {"kind": str(kind)} if kind in KINDS:
                assert [error.message for error in DOCUMENT.iter_errors(document)] == []
            case [{"effect": str()}, *_]:
                assert [error.message for rule in document for error in RULE.iter_errors(rule)] == []
            case dict() if SETTINGS & document.keys() and "apiVersion" not in document and CHART not in block.place:
                monkeypatch.delenv("EXTAUTHZ_CONFIG", raising=False)
                whole = (
                    document if {"policies", "bundles"} & document.keys() else {"policies": ["policies/"], **document}
                )
                (tmp_path / "extauthz.yaml").write_text(yaml.safe_dump(whole))
                load_settings(tmp_path / "extauthz.yaml")
                assert [error.message for error in CONFIGURATION.iter_errors(whole)] == []
            case _:
                pass  # Envoy's, Kubernetes', Prometheus'


@pytest.mark.parametrize("page", sorted({block.page for block in POLICIES}), ids=lambda page: page.name)
def test_policies_compile(page: Path) -> None:
    """Each by itself, with the definitions and risk models of its page."""
    beside = [block.text for block in POLICIES if block.page == page and "kind: Policy\n" not in block.text]
    for block in POLICIES:
        if block.page == page and "kind: Policy\n" in block.text:
            assert load_text("\n---\n".join([block.text, *beside]), block.place, declared=DECLARED).rules
