"""The search of the site finds, with a server and without one: from a folder, as who downloads the pages reads them."""

from pathlib import Path

import pytest
from browsing import PHONE
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(400)  # the first test builds the site


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_pages_in_a_folder_are_searched(page: Page, site: Path, phone: bool) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    if phone:
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # it is a ViewportSize
    page.goto((site / "adr" / "index.html").as_uri())
    if phone:
        page.locator("label.md-header__button[for=__search]").click()
    # The theme searches when a key was pressed.
    page.locator(".md-search__input").press_sequentially("kubelet swaps")
    found = page.locator(".md-search-result__link[href*='kubernetes.html']").first
    expect(found).to_be_visible()
    found.click()
    expect(page.locator("article h1")).to_contain_text("On Kubernetes")
    assert [one for one in asked if not one.startswith(site.as_uri())] == []
