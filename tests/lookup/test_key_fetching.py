"""What is asked of publishers, and of whom: certificates, metadata, bearer tokens, and nothing that leaks."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from lookup.deciding import QUICK, SLOW, asking, key_set, new_key, settings_of, source, until
from publishing import Page, Site, publishing

from extauthz.errors import ConfigurationError
from extauthz.identity.key_config import KeyAddress, KeyPlace, KeySource
from extauthz.identity.lookups import FetchKeys
from extauthz.lookup.key_fetching import KeyFetcher
from extauthz.lookup.key_sets import KeySets
from extauthz.lookup.peers import OutOfReach, Peer, read_secret

KEY = new_key("k1")


def server_trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def write(authority: trustme.CA, path: Path) -> None:
    """Replace the file whole."""
    beside = path.with_suffix(".new")
    authority.cert_pem.write_to_path(str(beside))
    beside.rename(path)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_site(authority: trustme.CA) -> Iterator[Site]:
    """A site with a certificate of the authority."""
    with publishing(server_trust(authority)) as running:
        yield running


def test_a_private_authority_is_trusted_where_it_is_named_and_nowhere_else(
    secure_site: Site, authority: trustme.CA, tmp_path: Path
) -> None:
    write(authority, tmp_path / "ca.pem")
    secure_site.pages["/jwks"] = Page(body=key_set(KEY))
    url = f"{secure_site.url}/jwks"

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [source(jwks=url, ca="ca.pem")])) as world:
            assert await world.reason(KEY.token()) == "allowed"
        async with asking(settings_of(tmp_path, [source(jwks=url)])) as world:
            assert await world.reason(KEY.token()) == "issuer-unavailable"
            assert "certificate verify failed" in (world.informants.keys.standings["idp"].error or "").lower()
        another_name = url.replace("localhost", "127.0.0.1")
        async with asking(settings_of(tmp_path, [source(jwks=another_name, ca="ca.pem")])) as world:
            assert await world.reason(KEY.token()) == "issuer-unavailable"

    asyncio.run(scene())


def test_authorities_that_are_replaced_count_from_then_on(
    secure_site: Site, authority: trustme.CA, tmp_path: Path
) -> None:
    write(authority, tmp_path / "ca.pem")
    secure_site.pages["/jwks"] = Page(body=key_set(KEY))

    async def scene() -> None:
        peer = Peer(ca=tmp_path / "ca.pem")

        async def ask() -> int:
            return (await peer.ask("GET", f"{secure_site.url}/jwks", headers={}, limit=10_000)).status

        assert await ask() == 200
        write(trustme.CA(), tmp_path / "ca.pem")
        with pytest.raises(OutOfReach, match="certificate verify failed"):
            await ask()
        write(authority, tmp_path / "ca.pem")
        assert await ask() == 200
        (tmp_path / "ca.pem").unlink()
        with pytest.raises(OutOfReach, match=r"ca\.pem: can't read the authorities"):
            await ask()
        await peer.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("write_it", "message"),
    [
        (lambda _: None, "can't read the authorities: no such file"),
        (lambda path: path.write_text("nothing"), "holds no certificates of authorities in PEM"),
        (lambda path: path.mkdir(), "can't read the authorities|holds no certificates"),
    ],
)
def test_authorities_that_can_not_be_used_are_told_at_the_start(
    tmp_path: Path, write_it: Callable[[Path], None], message: str
) -> None:
    write_it(tmp_path / "ca.pem")
    place = KeyAddress(url="https://idp.example.com/jwks", ca=Path("ca.pem"))
    with pytest.raises(ConfigurationError, match=f"ca.pem: ({message})"):
        KeySets([KeySource(name="idp", place=place, algorithms=("ES256",))], base=tmp_path)


def metadata(issuer: str, **members: object) -> Page:
    return Page(body=json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"} | members))


@pytest.mark.parametrize(
    ("kind", "path", "published"),
    [
        ("openid", "", "/.well-known/openid-configuration"),
        ("openid", "/tenant/1", "/tenant/1/.well-known/openid-configuration"),
        ("oauth", "", "/.well-known/oauth-authorization-server"),
        ("oauth", "/tenant/1", "/.well-known/oauth-authorization-server/tenant/1"),
    ],
)
def test_the_issuers_metadata_leads_to_its_keys(
    site: Site, tmp_path: Path, kind: str, path: str, published: str
) -> None:
    issuer = site.url + path
    site.pages[published] = metadata(issuer)
    site.pages[f"{path}/keys"] = Page(body=key_set(KEY))

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [source(issuer=issuer, discovery=kind)])) as world:
            assert await world.reason(KEY.token(iss=issuer)) == "allowed"
        assert [one.path for one in site.asked] == [published, f"{path}/keys"]

    asyncio.run(scene())


def test_keys_that_move_are_followed(site: Site, tmp_path: Path) -> None:
    where = "/.well-known/openid-configuration"
    new = new_key("k2")
    site.pages[where] = metadata(site.url)
    site.pages["/keys"] = Page(body=key_set(KEY), headers={"etag": '"1"'})
    site.pages["/moved"] = Page(body=key_set(new), headers={"etag": '"1"'})

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [source(issuer=site.url, discovery="openid")])) as world:
            assert await world.reason(KEY.token(iss=site.url)) == "allowed"
            site.pages[where] = metadata(site.url, jwks_uri=f"{site.url}/moved")
            # The tag is that of another document, though it is spelt the same.
            assert await world.reason(new.token(iss=site.url)) == "allowed"
            assert await world.reason(KEY.token(iss=site.url)) == "invalid-token"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Page(status=404), "answered with 404"),
        (Page(body="<html>"), "not JSON"),
        (Page(body="[]"), "not a JSON object"),
        (metadata("ISSUER/"), "is that of another issuer"),
        (metadata("https://idp.example.com"), "is that of another issuer"),
        (Page(body='{"jwks_uri": "ISSUER/keys"}'), "is that of another issuer"),
        (metadata("ISSUER", jwks_uri=None), "names no `jwks_uri`"),
        (metadata("ISSUER", jwks_uri="http://idp.example.com/keys"), "must be an `https://` URL"),
        (metadata("ISSUER", jwks_uri="file:///etc/keys.json"), "not a URL|must be an `https://` URL"),
        (metadata("ISSUER", jwks_uri="//127.0.0.1/keys"), "must be an `https://` URL"),
        (metadata("ISSUER", jwks_uri="https://user:secret@idp.example.com/keys"), "without user, password"),
    ],
)
def test_metadata_that_is_not_the_issuers_own_leads_nowhere(
    site: Site, tmp_path: Path, page: Page, message: str
) -> None:
    body = page.body if isinstance(page.body, str) else ""
    site.pages["/.well-known/openid-configuration"] = Page(status=page.status, body=body.replace("ISSUER", site.url))
    site.pages["/keys"] = Page(body=key_set(KEY))

    async def scene() -> None:
        async with asking(settings_of(tmp_path, [source(issuer=site.url, discovery="openid")])) as world:
            assert await world.reason(KEY.token(iss=site.url)) == "issuer-unavailable"
            error = world.informants.keys.standings["idp"].error or ""
            assert any(part in error for part in message.split("|")), error
        assert site.count("/keys") == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("", None),
        ("public", None),
        ("max-age=600", 600),
        ("public, MAX-AGE = 600, must-revalidate", 600),
        ('max-age="600"', 600),
        ("s-maxage=600", None),
        ("max-age=600, s-maxage=60", 600),
        ("max-age=-1", None),
        ("max-age=x", None),
        ("max-age=99999999999999999999", 9_999_999_999),
        ("no-cache, max-age=600", 0),
        ("max-age=600,no-store", 0),
        ('no-cache="set-cookie", max-age=600', 0),
    ],
)
def test_the_publisher_says_how_long_its_answer_stays(site: Site, said: str | None, seconds: float | None) -> None:
    site.pages["/jwks"] = Page(body=key_set(KEY), headers={} if said is None else {"cache-control": said})

    async def scene() -> float | None:
        fetcher = KeyFetcher(KeyAddress(url=f"{site.url}/jwks"), base=Path(), timeout=5)
        try:
            return (await fetcher.fetch(None, anew=False)).max_age
        finally:
            await fetcher.close()

    assert asyncio.run(scene()) == seconds


def fetched(folder: Path, place: KeyPlace) -> str | None:
    """The error of one fetch, `None` if it went well."""

    async def scene() -> str | None:
        keys = KeySets([KeySource(name="k8s", place=place, algorithms=("ES256",))], base=folder, pace=SLOW)
        try:
            await keys.ask(FetchKeys(source="k8s"))
            return keys.standings["k8s"].error
        finally:
            await keys.close()

    return asyncio.run(scene())


def test_a_bearer_token_is_sent_where_it_is_asked_for_and_read_anew(site: Site, tmp_path: Path) -> None:
    place = KeyAddress(url=f"{site.url}/jwks", token=Path("token"))
    site.pages["/jwks"] = Page(body=key_set(KEY))
    (tmp_path / "token").write_text("first\n")
    assert fetched(tmp_path, place) is None
    (tmp_path / "token").write_text("second")
    assert fetched(tmp_path, place) is None
    assert [one.headers["authorization"] for one in site.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("content", ["", "\n", "se\ncret", "ge\u00e4im", "x" * 70_000])
def test_what_is_no_secret_is_refused_without_being_told(site: Site, tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        read_secret(tmp_path / "token")
    assert "token: " in str(caught.value)
    assert content.strip()[:3] not in str(caught.value).rpartition("token: ")[2] or not content.strip()
    error = fetched(tmp_path, KeyAddress(url=f"{site.url}/jwks", token=Path("token")))
    assert error is not None
    assert not site.asked


def test_what_is_in_the_clear_takes_no_proxy_and_no_cookies_are_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with publishing() as proxy:
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        site.pages["/jwks"] = Page(body=key_set(KEY), headers={"set-cookie": "a=b"})

        async def scene() -> None:
            async with asking(settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")]), pace=QUICK) as world:
                await world.until(KEY.token(), "allowed")
                await until(lambda: len(site.asked) >= 3)

        asyncio.run(scene())
        assert not proxy.asked
    assert all("cookie" not in one.headers for one in site.asked)
