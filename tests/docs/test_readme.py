"""The README shows the way to every page that is at the top of the documentation, and nowhere else."""

import re

from docs.conftest import ROOT

README = (ROOT / "README.md").read_text()
LINKS = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README)}


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    assert sorted(link for link in LINKS if not (ROOT / link).exists()) == []


def test_the_readme_names_every_page_at_the_top_of_the_documentation() -> None:
    docs = ROOT / "docs"
    pages = [*docs.glob("*.md"), *docs.glob("tutorials/*.md"), *docs.glob("*/README.md")]
    missing = {str(page.relative_to(ROOT)) for page in pages} - LINKS
    assert missing == set(), "name them in the README's table, and in `nav` in mkdocs.yml"
