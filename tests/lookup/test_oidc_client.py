"""What is asked of an OpenID provider, and what of its answers is believed: one that misbehaves in every way."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from identity.issuer import Issuer
from publishing import Page, Site, publishing
from pydantic import ValidationError

from extauthz.errors import ConfigurationError, IssuerUnavailable
from extauthz.lookup.oidc import MAX_RESPONSE, OidcClient
from extauthz.lookup.oidc_config import OidcSettings, provider_of
from extauthz.stepup.oidc import OidcRefused

WELL_KNOWN = "/.well-known/openid-configuration"
KEYS = Issuer(
    keys={"ec": ec.derive_private_key(3, ec.SECP256R1()), "thief": ec.derive_private_key(4, ec.SECP256R1())},
    algorithms={"ec": "ES256", "thief": "ES256"},
    unlisted=frozenset({"thief"}),
)
SECRET = "s3cr:t/ %"


@pytest.fixture
def site() -> Iterator[Site]:
    """A provider; its issuer is the site's address."""
    with publishing() as running:
        running.pages[WELL_KNOWN] = metadata(running)
        running.pages["/jwks"] = Page(body=KEYS.jwks)
        running.pages["/token"] = tokens(id_token=KEYS.token())
        yield running


def metadata(site: Site, **changed: Any) -> Page:
    said = {
        "issuer": site.url,
        "authorization_endpoint": f"{site.url}/authorize",
        "token_endpoint": f"{site.url}/token",
        "jwks_uri": f"{site.url}/jwks",
        **changed,
    }
    return Page(body=json.dumps({name: value for name, value in said.items() if value is not ...}))


def tokens(status: int = 200, **members: Any) -> Page:
    answer = {"access_token": "a", "token_type": "Bearer", **members}
    return Page(status=status, headers={"content-type": "application/json"}, body=json.dumps(answer))


def ask(site: Site, base: Path, **changed: Any) -> Mapping[str, Any]:
    (base / "secret").write_text(SECRET)
    fields = {"issuer": site.url, "client_id": "us", "client_secret_file": "secret", **changed}
    settings = OidcSettings.model_validate({name: value for name, value in fields.items() if value is not ...})

    async def run() -> Mapping[str, Any]:
        client = OidcClient(settings, base=base, timeout=2.0)
        try:
            return await client.claims("c0de", code_verifier="v" * 43, redirect_uri="https://a.example/.extauthz/oidc")
        finally:
            await client.close()

    return asyncio.run(run())


def test_the_code_is_redeemed_as_the_specification_says(site: Site, tmp_path: Path) -> None:
    assert ask(site, tmp_path)["sub"] == "u1"
    (asked,) = [one for one in site.asked if one.path == "/token"]
    assert asked.method == "POST"
    assert parse_qs(asked.body.decode(), strict_parsing=True) == {
        "grant_type": ["authorization_code"],
        "code": ["c0de"],
        "redirect_uri": ["https://a.example/.extauthz/oidc"],
        "code_verifier": ["v" * 43],
    }
    scheme, _, credentials = asked.headers["authorization"].partition(" ")
    assert (scheme, b64decode(credentials)) == ("Basic", b"us:s3cr%3At%2F+%25")


def test_a_secret_goes_into_the_body_where_that_is_wanted_and_a_public_client_has_none(
    site: Site, tmp_path: Path
) -> None:
    ask(site, tmp_path, auth="post")
    ask(site, tmp_path, client_secret_file=...)
    posted, public = (one for one in site.asked if one.path == "/token")
    assert parse_qs(posted.body.decode())["client_secret"] == [SECRET]
    assert parse_qs(public.body.decode())["client_id"] == ["us"]
    assert b"secret" not in public.body
    assert "authorization" not in {*posted.headers, *public.headers}


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Page(status=302, headers={"location": "/elsewhere"}), "answered 302"),
        (Page(status=500, body="oh"), "answered 500"),
        (Page(body=json.dumps({"id_token": KEYS.token()})), "something else than"),
        (Page(headers={"content-type": "application/json"}, body="{"), "the answer is not JSON"),
        (Page(headers={"content-type": "application/json"}, body='{"a":1,"a":2}'), "a member is there twice"),
        (Page(headers={"content-type": "application/json"}, body=" " * (MAX_RESPONSE + 1)), "longer than"),
        (Page(headers={"content-type": "application/json"}, body="x" * 9, pause=0.5), "no whole answer within 2 s"),
        (tokens(401, error="invalid_client"), "answered with 401"),
        (tokens(400, error="invalid_request"), "answered with 400"),
        (tokens(201, id_token=KEYS.token()), "answered with 201"),
    ],
)
def test_an_answer_that_is_none_is_no_proof_and_leads_nowhere(
    site: Site, tmp_path: Path, page: Page, message: str
) -> None:
    site.pages["/token"] = page
    site.pages["/elsewhere"] = tokens(id_token=KEYS.token())
    with pytest.raises(IssuerUnavailable, match=message):
        ask(site, tmp_path)
    assert site.count("/elsewhere") == 0


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (tokens(400, error="invalid_grant"), "refused"),
        (tokens(), "malformed"),
        (tokens(id_token=None), "malformed"),
        (tokens(id_token="a.b.c"), "malformed"),
        (tokens(id_token=KEYS.token("thief")), "malformed"),
        (tokens(id_token=KEYS.token("thief", header={"kid": "ec"})), "malformed"),
        (tokens(id_token=KEYS.token(header={"typ": "at+jwt"})), "malformed"),
        (tokens(id_token=KEYS.token(header={"alg": "none"})), "malformed"),
        (tokens(id_token=KEYS.token(header={"alg": "HS256"})), "malformed"),
        (tokens(id_token=KEYS.token()[:-4] + "AAAA"), "malformed"),
    ],
)
def test_what_is_no_id_token_of_its_own_is_refused(site: Site, tmp_path: Path, page: Page, reason: str) -> None:
    site.pages["/token"] = page
    with pytest.raises(OidcRefused) as refused:
        ask(site, tmp_path)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"issuer": "https://other.example.com"}, "is that of another issuer"),
        ({"token_endpoint": ...}, "names no `token_endpoint`"),
        ({"authorization_endpoint": "http://idp.example.com/authorize"}, "must be an `https://` URL"),
        ({"token_endpoint": "https://user:pass@idp.example.com/token"}, "not a URL"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not take PKCE"),
        ({"code_challenge_methods_supported": "S256"}, "does not take PKCE"),
        ({"jwks_uri": 1}, "names no `jwks_uri`"),
    ],
)
def test_metadata_that_lead_elsewhere_or_are_too_little_are_refused(
    site: Site, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    site.pages[WELL_KNOWN] = metadata(site, **changed)
    with pytest.raises(IssuerUnavailable, match=message):
        ask(site, tmp_path)


def test_a_provider_that_can_not_be_read_is_not_asked_at_once_again(site: Site, tmp_path: Path) -> None:
    site.pages[WELL_KNOWN] = Page(status=503)
    settings = OidcSettings(issuer=site.url, client_id="us")

    async def scene() -> None:
        client = OidcClient(settings, base=tmp_path)
        for _ in range(5):
            with pytest.raises(IssuerUnavailable, match="answered with 503"):
                await client.provider()
        await client.close()

    asyncio.run(scene())
    assert site.count(WELL_KNOWN) == 1


def test_metadata_are_asked_for_once_by_many_at_a_time(site: Site, tmp_path: Path) -> None:
    async def scene() -> None:
        client = OidcClient(OidcSettings(issuer=site.url, client_id="us"), base=tmp_path)
        known = await asyncio.gather(*(client.provider() for _ in range(20)))
        assert {one.authorization_endpoint for one in known} == {f"{site.url}/authorize"}
        await client.close()

    asyncio.run(scene())
    assert site.count(WELL_KNOWN) == 1


def test_a_secret_that_can_not_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    settings = OidcSettings(issuer="https://idp.example.com", client_id="us", client_secret_file=Path("none"))
    with pytest.raises(ConfigurationError, match="can't read the secret"):
        OidcClient(settings, base=tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"issuer": "http://idp.example.com"}, "discovery needs an `https://` URL"),
        ({"scopes": ["profile"]}, "without `openid`"),
        ({"scopes": []}, "at least 1 item"),
        ({"subjects": {"https://idp.example.com": "email"}}, "known by `sub`"),
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"acr": {"gold": []}}, "at least 1 item"),
        ({"leeway": "10m"}, "must be at most 5m"),
        ({"auth": "none"}, "basic"),
        ({"tenant": "x"}, "Extra inputs"),
        ({"client_id": ""}, "at least 1 character"),
    ],
)
def test_a_provider_that_could_meet_nothing_is_refused_at_load(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OidcSettings.model_validate({"issuer": "https://idp.example.com", "client_id": "us", **changed})


def test_the_users_of_an_issuer_are_sent_to_one_provider() -> None:
    one = OidcSettings(issuer="https://a.example.com", client_id="us", subjects={"https://edge.example.com": "upn"})
    other = OidcSettings(issuer="https://b.example.com", client_id="us")
    found = provider_of((one, other))
    assert {issuer: settings.issuer for issuer, settings in found.items()} == {
        "https://a.example.com": "https://a.example.com",
        "https://edge.example.com": "https://a.example.com",
        "https://b.example.com": "https://b.example.com",
    }
    both = OidcSettings(issuer="https://b.example.com", client_id="us", subjects={"https://edge.example.com": "sub"})
    with pytest.raises(ValueError, match=r"`https://edge\.example\.com` would be sent to two providers"):
        provider_of((one, both))
