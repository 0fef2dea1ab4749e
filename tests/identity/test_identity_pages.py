"""The pages on identity: what they show is a configuration, and what they name is there."""

import re
from pathlib import Path

import pytest

from extauthz.settings import load_settings

PAGES = Path(__file__).parents[2] / "docs" / "identity"
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


def test_every_page_is_in_the_list_and_no_link_is_broken() -> None:
    listed = set(LINK.findall((PAGES / "README.md").read_text()))
    assert {page.name for page in PAGES.glob("*.md")} - {"README.md"} <= listed
    for page in PAGES.glob("*.md"):
        for target in LINK.findall(page.read_text()):
            assert (PAGES / target).exists(), f"{page.name}: {target}"
