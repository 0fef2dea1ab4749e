"""Which Chromium tests start and how, and how they take pictures of pages.

Rule kept here: every page of which a picture is taken can be read in light, in dark and on a small phone.
"""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CONTRASTS = (Path(__file__).parent / "web" / "contrasts.js").read_text()
PHONE = {"width": 320, "height": 640}
"""The narrowest screen that a page has to fit on (WCAG 2.2 success criterion 1.4.10)."""


def find_chromium() -> Path | None:
    """The browser, `None` if none is installed.

    First the one without windows: the same engine at a fifth of the processor's time, most of which the other one
    spends on windows and their buttons for each new visitor, that nobody sees.
    """
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    return None if found is None else Path(found)


def shoot(page: Page, path: Path, *, full_page: bool = False) -> None:
    """A picture of what `page` shows, for people to look at: taken where `SCREENSHOTS` says that somebody will.

    To draw a page takes the browser several times as long as to work out what is where, which tests ask for.
    """
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=path, full_page=full_page)


def picture(page: Page, folder: Path, name: str) -> None:
    """Take pictures of what `page` shows: `name`-light.png, -dark.png and -phone.png in `folder`.

    Held to WCAG 2.2 in each: a contrast of at least 4.5 to 1 (success criterion 1.4.3), computed from what the browser
    paints, and nothing beside the screen (1.4.10).
    """
    screen = page.viewport_size
    assert screen is not None
    for look in ("light", "dark", "phone"):
        page.emulate_media(color_scheme="dark" if look == "dark" else "light")
        page.set_viewport_size(PHONE if look == "phone" else screen)  # type: ignore[arg-type]  # it is a ViewportSize
        shoot(page, folder / f"{name}-{look}.png", full_page=True)
        assert page.evaluate(CONTRASTS) == [], f"{name}-{look}: what can't be read"
        assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth"), f"{name}-{look}"
    page.set_viewport_size(screen)
    page.emulate_media(color_scheme="null")
