"""Questions about opaque tokens: what the issuer sees of them, how often, and what becomes of odd answers."""

import asyncio
import json
import threading
import time
from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from lookup.deciding import ISSUER, asking, key_set, new_key, settings_of, source, until
from publishing import Page, Site

from extauthz.errors import ConfigurationError
from extauthz.identity.user_config import IntrospectionSource
from extauthz.lookup import introspection
from extauthz.lookup.introspection import MAX_RESPONSE, Introspections
from extauthz.lookup.peers import Peer

PATH = "/introspect"


@pytest.fixture(autouse=True)
def _short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "SILENCE", 0.1)


TOKEN = "opaque-1"
SECRET = "s3cr3t"


def asked_source(site: Site, folder: Path, *, secret: str = SECRET, **fields: Any) -> dict[str, object]:
    (folder / "secret").write_text(secret + "\n")
    question = {"url": site.url + PATH, "client_id": "extauthz", "client_secret_file": "secret"}
    return {"name": "asked", "issuer": ISSUER, "introspection": {**question, **fields}}


def active(**changes: object) -> Page:
    said = {"active": True, "token_type": "Bearer", "sub": "u1", "exp": int(time.time()) + 600, **changes}
    return json_page(json.dumps(said))


def json_page(body: str | bytes, **more: Any) -> Page:
    return Page(body=body, headers={"content-type": "application/json"}, **more)


def form(body: bytes) -> dict[str, list[str]]:
    return parse_qs(body.decode("ascii"), strict_parsing=True)


@pytest.mark.parametrize("auth", ["basic", "post"])
def test_the_issuer_is_asked_by_post_and_as_the_configured_client(site: Site, tmp_path: Path, auth: str) -> None:
    odd = asked_source(site, tmp_path, secret="p:%&+/=", auth=auth, client_id="ext authz:1")
    site.pages[PATH] = active()

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [odd])) as world:
            assert await world.reason(TOKEN) == "allowed"
            assert world.answers_at_once(TOKEN)

    asyncio.run(scene())
    (asked,) = site.asked
    assert (asked.method, asked.path) == ("POST", PATH)
    said = form(asked.body)
    assert (said.pop("token"), said.pop("token_type_hint")) == ([TOKEN], ["access_token"])
    if auth == "post":
        assert said == {"client_id": ["ext authz:1"], "client_secret": ["p:%&+/="]}
        assert "authorization" not in asked.headers
    else:
        assert said == {}
        scheme, _, pair = asked.headers["authorization"].partition(" ")
        assert (scheme, b64decode(pair)) == ("Basic", b"ext+authz%3A1:p%3A%25%26%2B%2F%3D")


def test_what_the_issuer_does_not_call_active_is_invalid_and_not_asked_for_again_at_once(
    site: Site, tmp_path: Path
) -> None:
    site.pages[PATH] = json_page('{"active": false}')

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            for _ in range(5):
                assert await world.reason(TOKEN) == "invalid-token"
            assert site.count(PATH) == 1

    asyncio.run(scene())


def test_without_a_cache_a_revoked_token_ends_with_its_next_request(site: Site, tmp_path: Path) -> None:
    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path, cache="0s")])) as world:
            for _ in range(3):
                site.pages[PATH] = active()
                assert await world.reason(TOKEN) == "allowed"
                site.pages[PATH] = json_page('{"active": false}')
                assert await world.reason(TOKEN) == "invalid-token"
            assert site.count(PATH) == 6

    asyncio.run(scene())


def test_without_a_cache_no_request_shares_the_question_of_another(site: Site, tmp_path: Path) -> None:
    held = threading.Event()
    site.pages[PATH] = Page(body=active().body, headers={"content-type": "application/json"}, held=held)

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path, cache="0s")])) as world:
            before = asyncio.create_task(world.reason(TOKEN))
            await until(lambda: site.count(PATH) == 1)
            # The issuer has said yes to the first one, which has not heard it yet; then the token is revoked.
            site.pages[PATH] = json_page('{"active": false}')
            assert await world.reason(TOKEN) == "invalid-token"
            held.set()
            assert await before == "allowed"

    asyncio.run(scene())


def test_an_answer_is_asked_for_again_when_it_is_too_old(site: Site, tmp_path: Path) -> None:
    site.pages[PATH] = active()

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path, cache="100ms")])) as world:
            assert await world.reason(TOKEN) == "allowed"
            site.pages[PATH] = json_page('{"active": false}')
            await world.until(TOKEN, "invalid-token")
            assert site.count(PATH) == 2

    asyncio.run(scene())


def test_a_hundred_requests_with_one_token_are_one_question(site: Site, tmp_path: Path) -> None:
    held = threading.Event()
    site.pages[PATH] = Page(body=active().body, headers={"content-type": "application/json"}, held=held)

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            requests = [asyncio.create_task(world.reason(TOKEN)) for _ in range(100)]
            await until(lambda: site.count(PATH) == 1)
            requests[0].cancel()
            held.set()
            answers = await asyncio.gather(*requests, return_exceptions=True)
            assert isinstance(answers[0], asyncio.CancelledError), "who goes away ends nobody else's question"
            assert set(answers[1:]) == {"allowed"}
            assert site.count(PATH) == 1

    asyncio.run(scene())


def test_how_many_questions_are_on_their_way_is_bounded(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "MOST_AT_ONCE", 3)
    held = threading.Event()
    site.pages[PATH] = Page(body=active().body, headers={"content-type": "application/json"}, held=held)

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            requests = [asyncio.create_task(world.reason(f"t{number}")) for number in range(9)]
            await until(lambda: site.count(PATH) == 3)
            await asyncio.sleep(0.1)
            assert site.count(PATH) == 3
            held.set()
            assert set(await asyncio.gather(*requests)) == {"allowed"}
            assert site.count(PATH) == 9

    asyncio.run(scene())


def test_who_does_not_answer_in_time_has_not_answered(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "PATIENCE", 0.2)
    monkeypatch.setattr(introspection, "Peer", partial(Peer, timeout=60.0))
    held = threading.Event()
    site.pages[PATH] = Page(body=active().body, headers={"content-type": "application/json"}, held=held)
    settings = settings_of(tmp_path, [asked_source(site, tmp_path)])

    async def silent() -> None:
        monkeypatch.setattr(introspection, "SILENCE", 3600.0)
        async with asking(settings) as world:
            async with asyncio.timeout(30):  # less than what one connection may take
                assert await world.reason(TOKEN) == "issuer-unavailable"
            assert await world.reason("opaque-2") == "issuer-unavailable"
        # The first question may not even have got there: a busy machine takes its time to connect.
        assert not any(b"opaque-2" in one.body for one in site.asked), "nobody waits for one that has just failed"

    async def back() -> None:
        monkeypatch.setattr(introspection, "SILENCE", 0.2)
        async with asking(settings) as world:
            assert await world.reason(TOKEN) == "issuer-unavailable"
            held.set()
            await world.until(TOKEN, "allowed")

    asyncio.run(silent())
    asyncio.run(back())


ODD: dict[str, Page] = {
    "not found": Page(status=404),
    "our secret is wrong": json_page('{"active": true}', status=401),
    "broken": Page(status=500),
    "redirected": Page(status=302, headers={"location": "/elsewhere"}),
    "created": json_page(active().body, status=201),
    "empty": json_page(""),
    "a page": Page(body=active().body, headers={"content-type": "text/html"}),
    "no type": Page(body=active().body),
    "no JSON": json_page("active=true"),
    "not an object": json_page("[true]"),
    "no word": json_page('{"sub": "u1"}'),
    "an odd word": json_page('{"active": "true", "sub": "u1"}'),
    "two words": json_page('{"active": false, "active": true, "sub": "u1", "token_type": "Bearer"}'),
    "not UTF-8": json_page(b'{"active": true, "sub": "\xff"}'),
    "too long": json_page('{"active": true, "x": "' + "x" * MAX_RESPONSE + '"}'),
}


@pytest.mark.parametrize("page", ODD.values(), ids=ODD)
def test_an_answer_that_is_none_is_never_a_yes(site: Site, tmp_path: Path, page: Page) -> None:
    site.pages[PATH] = page
    site.pages["/elsewhere"] = active()

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            assert await world.reason(TOKEN) == "issuer-unavailable"
            site.pages[PATH] = active()
            await world.until(TOKEN, "allowed")

    asyncio.run(scene())
    assert site.count("/elsewhere") == 0


@pytest.mark.parametrize("name", sorted(ODD.keys() - {"too long"}))
def test_a_token_that_the_issuer_chokes_on_silences_it_for_nobody_else(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(introspection, "SILENCE", 3600.0)
    site.pages[PATH] = ODD[name]

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            assert await world.reason("odd") == "issuer-unavailable"
            site.pages[PATH] = active()
            assert await world.reason(TOKEN) == "allowed"

    asyncio.run(scene())


@pytest.mark.parametrize("status", [429, 503])
def test_an_issuer_that_is_asked_too_much_is_asked_less(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(introspection, "SILENCE", 3600.0)
    site.pages[PATH] = Page(status=status)

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            for token in (TOKEN, "opaque-2", TOKEN):
                assert await world.reason(token) == "issuer-unavailable"
            assert site.count(PATH) == 1

    asyncio.run(scene())


def test_an_issuer_that_is_away_denies_what_is_not_remembered(site: Site, tmp_path: Path) -> None:
    site.pages[PATH] = active()

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path)])) as world:
            assert await world.reason(TOKEN) == "allowed"
            site.down()
            assert await world.reason(TOKEN) == "allowed"
            assert await world.reason("opaque-2") == "issuer-unavailable"
            site.up()
            await world.until("opaque-2", "allowed")

    asyncio.run(scene())


def test_no_token_is_shown_to_an_issuer_that_is_not_its_own(site: Site, tmp_path: Path) -> None:
    key = new_key("k")
    other = "https://other.example.com"
    (tmp_path / "jwks.json").write_text(key_set(key))
    sources = [asked_source(site, tmp_path), source("idp", issuer=other, jwks="jwks.json")]
    site.pages[PATH] = active()

    async def scene() -> None:
        async with asking(settings_of(tmp_path, sources)) as world:
            assert await world.reason(key.token(iss=other)) == "allowed"
            assert await world.reason(key.token(iss=other, aud="else")) == "invalid-token"
            assert await world.reason(key.token(iss="https://third.example.com")) == "invalid-token"
            for made_up in ("", "a b", "x" * 20_000, "a&client_id=b"):
                assert await world.reason(made_up) == "invalid-token"
            assert site.asked == []
            assert await world.reason(key.token()) == "allowed", "its issuer may call it active"
            assert site.count(PATH) == 1

    asyncio.run(scene())


def test_a_new_secret_is_taken_without_a_reload(site: Site, tmp_path: Path) -> None:
    site.pages[PATH] = active()

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [asked_source(site, tmp_path, auth="post")])) as world:
            assert await world.reason("t1") == "allowed"
            (tmp_path / "secret").write_text("n3w\n")
            assert await world.reason("t2") == "allowed"
            (tmp_path / "secret").unlink()
            assert await world.reason("t3") == "issuer-unavailable"

    asyncio.run(scene())
    assert [form(asked.body)["client_secret"] for asked in site.asked] == [[SECRET], ["n3w"]]


@pytest.mark.parametrize("content", [None, "", "two\nlines\n", "s\u00e9cret"])
def test_a_secret_that_is_none_is_told_at_the_start(site: Site, tmp_path: Path, content: str | None) -> None:
    settings = settings_of(tmp_path, [asked_source(site, tmp_path)])
    if content is None:
        (tmp_path / "secret").unlink()
    else:
        (tmp_path / "secret").write_text(content)

    async def scene() -> None:
        with pytest.raises(ConfigurationError, match="secret"):
            Introspections(
                (one for one in settings.identity.users if isinstance(one, IntrospectionSource)), base=tmp_path
            )

    asyncio.run(scene())
