"""From the settings to whoever is told: where secrets come from, and that a new one counts at once."""

import asyncio
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from patience import GENEROUS
from publishing import Page, Site, publishing
from telling.telling_parts import NOW, SECRET, an_approval

from extauthz.app.tellers import addressees_of, make_deliveries
from extauthz.approval.telling.addressing import Audience
from extauthz.check.approval_news import ApprovalNews
from extauthz.errors import ConfigurationError
from extauthz.settings import Settings, load_settings
from extauthz.store.memory import MemoryStore

OTHER = "whsec_" + b64encode(bytes(range(1, 33))).decode()
CONFIG = """\
policies: [policies/]
approvals:
  url: https://approvals.example.com
  webhooks:
    - name: audit
      url_from: {file: hook.url}
      secrets: [{file: hook.secret}, {variable: OLD_SECRET}]
      secret_headers: {authorization: {variable: HOOK_TOKEN}}
      addresses: [127.0.0.1]
"""
ENVIRON = {"OLD_SECRET": OTHER, "HOOK_TOKEN": " Bearer 0123456789abcdef "}


@pytest.fixture
def site() -> Iterator[Site]:
    with publishing() as running:
        running.pages["/services/T0/B0/s3cret"] = Page(status=200)
        yield running


@pytest.fixture
def folder(tmp_path: Path, site: Site) -> Path:
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    (tmp_path / "hook.url").write_text(f"{site.url}/services/T0/B0/s3cret\n")
    (tmp_path / "hook.secret").write_text(f"{SECRET}\n")
    return tmp_path


def settings_of(folder: Path) -> Settings:
    return load_settings(folder / "extauthz.yaml")


def tell(folder: Path, site: Site, environ: Mapping[str, str], *, change: Mapping[str, str]) -> None:
    """One event, then a change of files, then another one."""
    settings = settings_of(folder)

    async def run() -> None:
        store = MemoryStore()
        deliveries = make_deliveries(settings, environ, store=store)
        news = ApprovalNews(store)
        running = [asyncio.create_task(one) for one in (news.follow(), deliveries.follow(news))]
        for number in (1, 2):
            approval = an_approval(id=f"apv-{number}", key=str(number))
            letters = addressees_of(settings).letters(approval, ("opened",), Audience(), now=time.time())
            await store.open_approval(approval, letters=letters, keep=60, most_open=50, now=time.time())
            async with asyncio.timeout(GENEROUS):
                while len(site.asked) < number:  # noqa: ASYNC110 - a server in a thread tells of nothing by an event
                    await asyncio.sleep(0.01)
            for name, content in change.items():
                (folder / name).write_text(content)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()

    asyncio.run(run())


def by(secret: str, site: Site, number: int) -> str:
    asked = site.asked[number]
    signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    mac = hmac.digest(b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    return "v1," + b64encode(mac).decode()


def test_secrets_come_from_their_places_and_a_new_one_signs_at_once(folder: Path, site: Site) -> None:
    new = "whsec_" + b64encode(bytes(range(2, 34))).decode()
    tell(folder, site, ENVIRON, change={"hook.secret": new})
    assert site.asked[0].headers["authorization"] == "Bearer 0123456789abcdef"
    assert site.asked[0].headers["webhook-signature"] == f"{by(SECRET, site, 0)} {by(OTHER, site, 0)}"
    assert site.asked[1].headers["webhook-signature"] == f"{by(new, site, 1)} {by(OTHER, site, 1)}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hook.secret", "whsec_dG9vIHNob3J0dG9vIHNob3J0", r"webhooks\[0\]\.secrets\[0\]: .*24 to 64 bytes"),
        ("hook.secret", "0123456789abcdef0123456789abcdef", r"webhooks\[0\]\.secrets\[0\]: .*begins with"),
        ("hook.url", "http://hooks.example.com/s3cret", r"webhooks\[0\]\.url_from: must be an `https://` URL"),
        ("hook.url", "https://192.168.0.1/s3cret", r"webhooks\[0\]\.url_from: .*no address of the internet"),
        ("hook.url", "", r"hook\.url: expected one line with a secret"),
    ],
)
def test_a_secret_that_can_not_be_used_ends_a_start_and_is_not_told(
    folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        make_deliveries(settings_of(folder), ENVIRON, store=MemoryStore())
    assert "s3cret" not in str(caught.value)
    assert content not in str(caught.value) or not content


def test_a_variable_that_is_missing_ends_a_start(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="`HOOK_TOKEN` is not set"):
        make_deliveries(settings_of(folder), {"OLD_SECRET": OTHER}, store=MemoryStore())


def test_without_anybody_who_is_told_nothing_runs_and_no_letter_is_written(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text("policies: [policies/]\n")
    settings = settings_of(tmp_path)
    store = MemoryStore()
    deliveries = make_deliveries(settings, {}, store=store)
    asyncio.run(asyncio.wait_for(deliveries.follow(ApprovalNews(store)), GENEROUS))
    assert deliveries.standings == {}
    assert addressees_of(settings).letters(an_approval(), ("opened",), Audience(), now=NOW) == ()
