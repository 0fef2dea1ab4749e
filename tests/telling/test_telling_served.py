"""A whole server tells what is in its store, and says so in its metrics."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving
from patience import comes
from publishing import Page, Site, publishing
from telling.telling_parts import SECRET, an_approval

from extauthz.app.tellers import addressees_of
from extauthz.app.wiring import open_configured_store
from extauthz.approval.telling.addressing import Audience
from extauthz.settings import load_settings

APPROVALS = """
store: sqlite:///extauthz.db
approvals:
  url: https://approvals.example.com
  webhooks:
    - {name: audit, url: "SITE/in", secrets: [{file: hook.secret}], addresses: [127.0.0.1]}
    - {name: down, url: "SITE/down", secrets: [{file: hook.secret}], addresses: [127.0.0.1]}
"""


@pytest.fixture
def site() -> Iterator[Site]:
    with publishing() as running:
        running.pages |= {"/in": Page(status=204), "/down": Page(status=500)}
        yield running


@pytest.fixture
def folder(tmp_path: Path, site: Site) -> Path:
    """A configuration whose store has something to tell to two receivers."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(serving.POLICY.format(path="/"))
    (tmp_path / "hook.secret").write_text(SECRET)
    listen = serving.CONFIG.replace('admin: "127.0.0.1:0"', 'admin: "127.0.0.1:0", approvals: "127.0.0.1:0"')
    (tmp_path / "extauthz.yaml").write_text(listen + APPROVALS.replace("SITE", site.url))

    async def fill() -> None:
        now, settings = time.time(), load_settings(tmp_path / "extauthz.yaml")
        store = open_configured_store(settings)
        approval = an_approval(opened_at=now, state_at=now, expires_at=now + 900)
        letters = addressees_of(settings).letters(approval, ("opened",), Audience(), now=now)
        await store.open_approval(approval, letters=letters, keep=3600, most_open=50, now=now)
        await store.close()

    asyncio.run(fill())
    return tmp_path


def test_a_server_tells_what_is_in_its_store(folder: Path, site: Site) -> None:
    served = serving.start(folder)
    try:
        assert comes(lambda: site.count("/in") == 1)
        assert comes(lambda: served.metric('extauthz_deliveries_total{result="delivered",sink="audit"}') == 1)
        assert comes(lambda: served.metric('extauthz_deliveries_total{result="failed",sink="down"}') >= 1)
    finally:
        serving.end(served)
    assert {one.headers["webhook-id"] for one in site.asked} == {"apv-1-1-0"}
