"""docs/attributes.md: what it shows loads, and belongs together."""

import re
from pathlib import Path
from typing import Any

import yaml
from attributes.asking_sources import sources_of
from policy.making import compiled, document

from extauthz.policy.attribute_sources import attributes_type
from extauthz.policy.declared import Declared
from extauthz.policy.fact_models import FactsModel

PAGE = (Path(__file__).parents[2] / "docs" / "attributes.md").read_text()
BLOCKS: list[Any] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_rule_of_the_page_is_checked_against_the_sources_of_the_page() -> None:
    configuration, rules = BLOCKS[:2]
    sources = sources_of(*configuration["attributes"])
    declared = Declared(attributes=attributes_type(one.declared for one in sources))
    (rule,) = compiled(document("p", *rules), declared=declared).rules
    assert rule.reads.sources == {"crm", "devices", "pdp"}


def test_what_the_page_calls_defaults_are_the_defaults() -> None:
    plain = BLOCKS[0]["attributes"][0]
    (without,) = sources_of(plain)
    cache, failure = BLOCKS[2], BLOCKS[3]
    assert sources_of({**plain, **cache, **failure}) == (without,)


def test_the_facts_of_the_page_are_facts_of_a_test() -> None:
    facts = FactsModel.model_validate(BLOCKS[4]["facts"])
    assert facts.sources == {"crm": {"tier": "gold", "limit": 5000.0}}


def test_every_field_of_a_source_is_on_the_page() -> None:
    (source,) = sources_of(BLOCKS[0]["attributes"][0])
    for name in type(source).model_fields:
        assert re.search(rf"\b{name}\b", PAGE), name
