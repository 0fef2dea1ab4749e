"""What `docs/context.md` shows can be loaded as it stands, and conditions that it quotes as well."""

import re
import textwrap
from pathlib import Path
from typing import Final

import yaml

from extauthz.policy.context import GEO, TRAVEL
from extauthz.policy.declared import Declared
from extauthz.policy.load import load_text
from extauthz.risk.addresses import parse_list
from extauthz.settings import load_settings

PAGE: Final = (Path(__file__).parents[2] / "docs" / "context.md").read_text()
BLOCKS: Final = [textwrap.dedent(block) for block in re.findall(r"```(?:yaml)?\n(.*?)```", PAGE, re.DOTALL)]
FILES: Final = Declared(addresses=frozenset({"tor-exits"}))


def blocks(start: str) -> list[str]:
    return [block for block in BLOCKS if block.startswith(start)]


def policy(rules: str) -> str:
    header = "---\napiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: page}\nspec:\n  rules:\n"
    return header + textwrap.indent(rules, "    ")


def test_its_policies_and_definitions_load() -> None:
    conditions = re.findall(r"`(!?(?:within|listed)\((?:now|client\.ip), \"[^`]*\"\))`", PAGE)
    asked = "".join(f"- {{name: c{number}, effect: allow, when: '{one}'}}\n" for number, one in enumerate(conditions))
    rules = "".join(blocks("- name:"))
    assert len(conditions) == 3
    assert rules.count("- name:") == 2
    definitions = "---\n".join(blocks("apiVersion"))
    assert definitions.count("kind: Definitions") == 2
    assert len(load_text(definitions + policy(rules + asked), "context.md", declared=FILES).rules) == 5


def test_its_settings_load(tmp_path: Path) -> None:
    settings = blocks("# extauthz.yaml")
    assert len(settings) == 2
    file = tmp_path / "extauthz.yaml"
    file.write_text("policies: [policies]\n" + "".join(settings))
    loaded = load_settings(file)
    assert set(loaded.geo_paths) == {"city", "asn", "anonymous"}
    assert set(loaded.address_paths) == {"tor-exits"}
    assert loaded.declared.geo == frozenset(GEO.fields)


def test_its_list_is_one() -> None:
    (shown,) = blocks("# lists/")
    found = parse_list(shown)
    assert found.size == 3
    assert found.holds("198.51.100.7")


def test_it_tells_of_every_field() -> None:
    for kind in (GEO, TRAVEL):
        for name in kind.fields:
            assert f"`{kind.name}.{name}`" in PAGE
    assert all(yaml.safe_load(block) for block in BLOCKS if not block.startswith("# lists/"))
