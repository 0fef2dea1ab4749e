"""The site is whole, needs no other host, and shows what the repository shows."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from docs.conftest import ROOT
from markdown_it import MarkdownIt

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "node_modules" not in path.parts)
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
TAGS = re.compile(rf"<(?:{'|'.join(LOADED)})\b[^>]*>")
pytestmark = pytest.mark.timeout(400)  # the first test builds the site


class Reader(HTMLParser):
    """What a page loads, and of what its text is made."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.parts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag in LOADED and said.get(LOADED[tag]) and said.get("rel") not in ("canonical", "next", "prev", "edit"):
            self.loads.append(said[LOADED[tag]] or "")
        if tag in ("h1", "h2", "h3", "h4", "ul", "ol", "li", "pre", "table", "tr", "td", "th", "strong", "em"):
            self.parts.append(tag)


def page_of(site: Path, path: Path) -> Path:
    """The built page of a page."""
    place = path.relative_to(DOCS).with_suffix(".html")
    return site / (place.with_name("index.html") if place.name == "README.html" else place)


def article(html: str) -> str:
    """The text of a built page, without what the theme puts around it."""
    (text,) = re.findall(r'<article class="md-content__inner md-typeset">(.*?)</article>', html, re.DOTALL)
    assert isinstance(text, str)
    # The table in which Pygments would number lines, and the marks at headings, are the theme's.
    return text


def test_every_page_is_built_and_every_link_in_it_leads_somewhere(site: Path) -> None:
    """MkDocs holds links, anchors and the navigation, see `validation` in mkdocs.yml: the fixture fails."""
    assert [path for path in PAGES if not page_of(site, path).is_file()] == []


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    tags = [tag for page in pages for tag in TAGS.findall(page.read_text()) if "http" in tag or "//" in tag]
    assert {address for tag in tags for address in Reader(tag).loads if urlsplit(address).netloc} == set()
    styles = [style.read_text() for style in site.rglob("*.css")]
    assert [
        found for style in styles for found in re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//[^)]*", style)
    ] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_page_is_made_of_the_same_parts_here_and_in_the_repository(site: Path, path: Path) -> None:
    """Lists, tables and blocks that one reader of Markdown sees are there for the other, too."""
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(
        re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
    )
    assert Reader(article(page_of(site, path).read_text())).parts == Reader(rendered).parts
