"""Attribute sources over TLS: whom we trust, and what we show of ourselves."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from attributes.asked import PATH, page
from attributes.asking_sources import asking, over_http, source, sources_of
from publishing import Site, publishing

from extauthz.errors import ConfigurationError
from extauthz.lookup.attributes.sources import AttributeSources


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_trust(authority: trustme.CA) -> ssl.SSLContext:
    """Shows a certificate of the authority, and wants one of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def write_own(authority: trustme.CA, folder: Path) -> None:
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own = authority.issue_cert("extauthz.example.com")
    own.cert_chain_pems[0].write_to_path(str(folder / "own.pem"))
    own.private_key_pem.write_to_path(str(folder / "own.key"))


TRUST = {"ca": "ca.pem", "client": {"certificate": "own.pem", "key": "own.key"}}


def test_a_source_that_wants_a_certificate_is_shown_ours_and_none_is_asked_that_we_do_not_trust(
    authority: trustme.CA, tmp_path: Path
) -> None:
    write_own(authority, tmp_path)
    with publishing(server_trust(authority)) as secure:
        secure.pages[PATH] = page()

        async def scene() -> None:
            async with asking(over_http(secure.url, **TRUST), base=tmp_path) as world:
                assert await world.told() == {"tier": "gold"}
            async with asking(over_http(secure.url, ca="ca.pem"), base=tmp_path) as world:
                assert await world.told() is None
            async with asking(over_http(secure.url, client=TRUST["client"]), base=tmp_path) as world:
                assert await world.told() is None

        asyncio.run(scene())
        assert secure.count(PATH) == 1


def test_a_certificate_that_is_replaced_is_shown_from_then_on(authority: trustme.CA, tmp_path: Path) -> None:
    write_own(trustme.CA(), tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with publishing(server_trust(authority)) as secure:
        secure.pages[PATH] = page()

        async def scene() -> None:
            async with asking(over_http(secure.url, **TRUST), base=tmp_path) as world:
                assert await world.told() is None, "of an authority that the source does not know"
                write_own(authority, tmp_path)
                assert await world.told() == {"tier": "gold"}

        asyncio.run(scene())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token": "missing"}, "missing: can't read the secret"),
        ({"ca": "missing.pem"}, "missing.pem: can't read the authorities"),
        ({"client": {"certificate": "missing.pem", "key": "own.key"}}, "missing.pem: can't read it or its key"),
        ({"client": {"certificate": "own.key", "key": "own.pem"}}, "no certificate and its key"),
    ],
)
def test_files_that_can_not_be_used_are_told_at_the_start(
    authority: trustme.CA, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    write_own(authority, tmp_path)
    for kind in ({"http": {"url": "https://localhost:1/{user}"}}, {"grpc": {"url": "https://localhost:1"}}):
        with pytest.raises(ConfigurationError, match=message):
            AttributeSources(sources_of(source(**kind, **fields)), base=tmp_path)


def test_getting_ready_asks_nobody_and_does_not_mind_a_file_that_is_gone(
    site: Site, authority: trustme.CA, tmp_path: Path
) -> None:
    write_own(authority, tmp_path)
    site.pages[PATH] = page()
    of_grpc = source(name="devices", grpc={"url": "https://localhost:1"}, ca="ca.pem")

    async def scene() -> None:
        async with asking(over_http(site.url, **TRUST), of_grpc, base=tmp_path) as world:
            await world.sources.open()
            assert site.asked == []
            assert await world.told() == {"tier": "gold"}
        async with asking(over_http(site.url, **TRUST), of_grpc, base=tmp_path) as world:
            (tmp_path / "ca.pem").unlink()
            await world.sources.open()
            assert await world.told() is None

    asyncio.run(scene())
