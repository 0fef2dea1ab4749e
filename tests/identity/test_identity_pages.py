"""The pages on identity: what they show is a configuration, and what they name is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.settings import load_settings

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "identity"
BLOCK = re.compile(r"^```yaml\n((?:identity|client):.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^):#]+\.md)(?:#[a-z0-9-]+)?\)")
SHOWN = [(page.name, text) for page in sorted(PAGES.glob("*.md")) for text in BLOCK.findall(page.read_text())]


def test_pages_show_configurations() -> None:
    assert {"keys.md", "tokens.md"} <= {page for page, _ in SHOWN}


@pytest.mark.parametrize(("page", "text"), SHOWN, ids=[page for page, _ in SHOWN])
def test_what_a_page_shows_is_a_configuration(tmp_path: Path, page: str, text: str) -> None:
    path = tmp_path / "extauthz.yaml"
    path.write_text(f"policies: [p]\n{text}")
    assert load_settings(path).policies == (Path("p"),), page


NO_SOURCES = {"README.md", "revocation.md"}
SECTIONS = ["What is trusted", "What Envoy must be told", "What happens when it is missing or wrong"]


@pytest.mark.parametrize("page", sorted({page.name for page in PAGES.glob("*.md")} - NO_SOURCES))
def test_every_page_says_what_a_reader_needs(page: str) -> None:
    heads = re.split(r"^## (.+)$", (PAGES / page).read_text(), flags=re.MULTILINE)
    said = dict(zip(heads[1::2], heads[2::2], strict=True))
    assert [title for title in SECTIONS if title in said] == SECTIONS
    assert all(said[title].strip() for title in SECTIONS)
    assert re.search(r"^\|.*\|\n\|---", said[SECTIONS[-1]], re.MULTILINE), "a table"


ENVOY = re.compile(r"^```yaml\n# (envoy/[a-z]+\.yaml): (\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENVOYS = [(page.name, *found) for page in sorted(PAGES.glob("*.md")) for found in ENVOY.findall(page.read_text())]


@pytest.mark.parametrize(("page", "file", "kind", "text"), ENVOYS, ids=[f"{one[0]}-{one[2]}" for one in ENVOYS])
def test_what_a_page_says_of_envoy_is_in_the_file_that_is_shipped(page: str, file: str, kind: str, text: str) -> None:
    # Those files are loaded, and driven, by a real Envoy in tests/e2e.
    shipped = yaml.safe_load((ROOT / file).read_text())
    found = [node for node in _mappings(shipped) if str(node.get("@type", "")).endswith(f".{kind}")]
    assert any(_holds(node, yaml.safe_load(text)) for node in found), page


def test_pages_speak_of_envoy() -> None:
    pages = {one[0] for one in ENVOYS}
    assert {"xfcc.md", "peer-certificate.md", "source-principal.md", "client-address.md", "bound-tokens.md"} <= pages


def _mappings(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _mappings(inner)


def _holds(node: object, said: object) -> bool:
    if isinstance(node, dict) and isinstance(said, dict):
        return all(name in node and _holds(node[name], value) for name, value in said.items())
    return node == said


def test_every_page_is_in_the_list_and_no_link_is_broken() -> None:
    listed = set(LINK.findall((PAGES / "README.md").read_text()))
    assert {page.name for page in PAGES.glob("*.md")} - {"README.md"} <= listed
    for page in PAGES.glob("*.md"):
        for target in LINK.findall(page.read_text()):
            assert (PAGES / target).exists(), f"{page.name}: {target}"
