"""One stage for all examples, and the people and browsers in front of it."""

from collections.abc import Iterator
from pathlib import Path

import geoip
import pytest
from browsing import ARGUMENTS
from e2e import bootstrap
from e2e.conftest import chromium, envoy_binary
from e2e.stage import Script, stage
from e2e.visitors import Crowd
from examples.showing import CI_AUDIENCE, FOLDER, NAMES, PLACES, Shown, policies, settings
from playwright.sync_api import Browser, sync_playwright
from ports import free_port
from publishing import publishing

from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer

__all__ = ["chromium", "envoy_binary"]

HALF_KNOWN = """\
    "spiffe://prod.example.org/ns/functions/sa/half-known":
      deployed: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""
"""A function of which nobody has said what was approved, for the file of what the platform knows."""


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory, screenshots: Path) -> Iterator[Shown]:
    """All examples; without databases of addresses, all but the one that needs them."""
    port, folder, ci = free_port(), tmp_path_factory.mktemp("examples"), TokenIssuer.create()
    names = [name for name in NAMES if name != PLACES or geoip.FOLDER.exists()]
    attributes = folder / "attributes.yaml"
    attributes.write_text((FOLDER / "deployment-drift" / "attributes.yaml").read_text() + HALF_KNOWN)
    (folder / "ci.json").write_text(ci.jwks())
    (folder / "token").write_text("a-token-of-extauthz")

    def at_that_port(tree: bootstrap.Tree) -> None:
        tree["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = port

    with publishing() as sources:
        places = {
            "https://idp.example.com": ISSUER,
            "audiences: [shop], discovery: openid": f"audiences: [{AUDIENCE}], jwks: jwks.json",
            "audiences: [approvals], discovery: openid": "audiences: [approvals], jwks: jwks.json",
            f'["{CI_AUDIENCE}"], discovery: openid': f'["{CI_AUDIENCE}"], jwks: {folder / "ci.json"}',
            "timeout: 150ms": "timeout: 5s",
            "https://governance.example.com": sources.url,
            "https://ci.example.com": sources.url,
            "governance.token": str(folder / "token"),
            "ci.token": str(folder / "token"),
            "attributes: attributes.yaml": f"attributes: {attributes}",
            "GeoLite2-City.mmdb": str(geoip.FOLDER / "GeoIP2-City-Test.mmdb"),
            "GeoIP2-Anonymous-IP.mmdb": str(geoip.FOLDER / "GeoIP2-Anonymous-IP-Test.mmdb"),
            "https://reports.example.com": f"https://localhost:{port}",
            "id: example.com": "id: localhost",
        }
        configuration = {
            **settings(names, places),
            # A load balancer stands in front of this Envoy: so a test says where a request comes from.
            "client": {"trusted_hops": 1},
        }
        with stage(Script(policies=policies(names), edit=at_that_port, configuration=configuration)) as running:
            yield Shown(
                stage=running,
                url=f"https://localhost:{port}",
                screenshots=screenshots,
                sources=sources,
                attributes=attributes,
                ci=ci,
            )


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """Chromium; while it is there no test of another module can run an event loop."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def crowd(shown: Shown, browser: Browser) -> Iterator[Crowd]:
    """Visitors, who go home at the end of a test."""
    made = Crowd(shown, browser)
    yield made
    made.close()
