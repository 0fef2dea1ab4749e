"""The site in a real browser: its diagrams are drawn, nothing is asked of another host, and it fits on a phone."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browsing import PHONE, shoot
from docs.conftest import ROOT
from playwright.sync_api import Page, expect

DRAWN = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "```mermaid" in path.read_text()]
SEEN = ("index", "concepts", "tutorial", "reference/configuration", "repository/envoy/gateway.yaml")

pytestmark = pytest.mark.timeout(400)  # the first test builds the site


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_diagrams_are_drawn_by_the_script_of_the_site_and_no_other_host_is_asked(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}concepts.html")
    expect(page.locator("pre.mermaid")).to_have_count(0)  # the theme puts what is drawn in their place
    heights = page.locator("div.mermaid").evaluate_all("drawn => drawn.map(one => one.offsetHeight)")
    assert len(heights) == (ROOT / "docs" / "concepts.md").read_text().count("```mermaid")
    assert min(heights) > 50
    assert f"{address}site/mermaid.js" in asked
    assert [one for one in asked if not one.startswith(address)] == []


def test_every_diagram_of_every_page_can_be_read(page: Page, address: str) -> None:
    page.goto(f"{address}concepts.html")
    page.wait_for_function("() => globalThis.mermaid")
    for path in DRAWN:
        for text in re.findall(r"```mermaid\n(.*?)```", path.read_text(), re.DOTALL):
            assert page.evaluate("text => mermaid.parse(text).then(() => '', error => error.message)", text) == "", path


@pytest.mark.parametrize("name", SEEN)
def test_a_page_fits_on_a_phone(page: Page, address: str, screenshots: Path, name: str) -> None:
    for look in ("light", "dark", "phone"):
        page.emulate_media(color_scheme="dark" if look == "dark" else "light")
        page.set_viewport_size({"width": 1280, "height": 900} if look != "phone" else PHONE)  # type: ignore[arg-type]  # it is a ViewportSize
        page.goto(f"{address}{name}.html")
        shoot(page, screenshots / f"docs-{name.replace('/', '-')}-{look}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look


def test_a_name_that_leads_a_row_is_on_one_line_where_there_is_room(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{address}envoy.html")
    names = page.locator("td:first-child code", has_text=re.compile(r"^(approvals|gateway|sidecar|workers)$"))
    assert names.evaluate_all("codes => codes.map(code => code.getClientRects().length)") == [1, 1, 1, 1]
