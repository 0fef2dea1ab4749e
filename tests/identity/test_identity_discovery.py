"""Where keys are: the addresses of metadata, what metadata may name, and what the configuration may say of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from extauthz.errors import ConfigurationError
from extauthz.identity.discovery import DiscoveryKind, endpoint, metadata_url
from extauthz.identity.key_config import DiscoveredKeys, KeyAddress, KeyFields, KeyFile, KeyPlace

ISSUER = "https://idp.example.com/t1"


@pytest.mark.parametrize(
    ("issuer", "kind", "url"),
    [
        # The examples of OpenID Connect Discovery 1.0 section 4.1 and RFC 8414 section 3.1.
        ("https://example.com", "openid", "https://example.com/.well-known/openid-configuration"),
        ("https://example.com/issuer1", "openid", "https://example.com/issuer1/.well-known/openid-configuration"),
        ("https://example.com", "oauth", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/issuer1", "oauth", "https://example.com/.well-known/oauth-authorization-server/issuer1"),
        ("https://example.com/", "openid", "https://example.com/.well-known/openid-configuration"),
        ("https://example.com/a/", "openid", "https://example.com/a/.well-known/openid-configuration"),
        ("https://example.com/a/", "oauth", "https://example.com/.well-known/oauth-authorization-server/a"),
        ("http://127.0.0.1:8080", "openid", "http://127.0.0.1:8080/.well-known/openid-configuration"),
        ("https://[2001:db8::1]:8443/a", "openid", "https://[2001:db8::1]:8443/a/.well-known/openid-configuration"),
    ],
)
def test_metadata_is_where_its_standard_says(issuer: str, kind: DiscoveryKind, url: str) -> None:
    assert metadata_url(issuer, kind) == url


@pytest.mark.parametrize(
    "issuer",
    [
        "idp",
        "http://idp.example.com",
        "ftp://idp.example.com",
        "https://user@idp.example.com",
        "https://idp.example.com#x",
        "https://idp.example.com?t=1",
        "https://idp.example.com?",
        "https://",
        "https://idp.example.com:port",
    ],
)
def test_an_issuer_without_an_address_of_its_own_has_no_metadata(issuer: str) -> None:
    for kind in ("openid", "oauth"):
        with pytest.raises(ValueError, match=r"discovery (needs|allows).*name its `jwks`"):
            KeyFields(discovery=kind).place_of_keys(issuer)


def test_metadata_names_addresses_of_its_own_kind() -> None:
    document = json.dumps({"issuer": ISSUER, "jwks_uri": "https://keys.example.net/t1", "other": 1})
    assert endpoint(document, "jwks_uri", issuer=ISSUER) == "https://keys.example.net/t1"
    with pytest.raises(ConfigurationError, match="names no `other`"):
        endpoint(document, "other", issuer=ISSUER)
    clear = json.dumps({"issuer": ISSUER, "jwks_uri": "http://127.0.0.1/keys"})
    with pytest.raises(ConfigurationError, match="must be an `https://` URL, as the issuer is"):
        endpoint(clear, "jwks_uri", issuer=ISSUER)
    local = json.dumps({"issuer": "http://localhost:1", "jwks_uri": "http://127.0.0.1/keys"})
    assert endpoint(local, "jwks_uri", issuer="http://localhost:1") == "http://127.0.0.1/keys"


@pytest.mark.parametrize(
    "other", [ISSUER + "/", ISSUER.upper(), "https://idp.example.com", "https://idp.example.com:443/t1", " " + ISSUER]
)
def test_an_issuer_that_only_looks_the_same_is_another(other: str) -> None:
    document = json.dumps({"issuer": other, "jwks_uri": "https://idp.example.com/keys"})
    with pytest.raises(ConfigurationError, match="is that of another issuer"):
        endpoint(document, "jwks_uri", issuer=ISSUER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(ISSUER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["issuer", "jwks_uri"]), inner),
    max_leaves=4,
)


@given(document=st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_names_a_safe_address_or_is_refused(document: str) -> None:
    try:
        url = endpoint(document, "jwks_uri", issuer=ISSUER)
    except ConfigurationError:
        return
    assert url.startswith("https://")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"jwks": "keys/jwks.json"}, KeyFile(path=Path("keys/jwks.json"))),
        ({"jwks": "/etc/jwks.json"}, KeyFile(path=Path("/etc/jwks.json"))),
        ({"jwks": "https://a.example/k?v=2"}, KeyAddress(url="https://a.example/k?v=2")),
        ({"jwks": "https://a.example/k", "ca": "ca.pem"}, KeyAddress(url="https://a.example/k", ca=Path("ca.pem"))),
        (
            {"discovery": "openid", "ca": "ca.pem"},
            DiscoveredKeys(issuer=ISSUER, metadata_url=f"{ISSUER}/.well-known/openid-configuration", ca=Path("ca.pem")),
        ),
        ({}, None),
    ],
)
def test_keys_are_in_one_place(fields: dict[str, object], place: KeyPlace | None) -> None:
    assert KeyFields.model_validate(fields).place_of_keys(ISSUER) == place


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"jwks": "k", "discovery": "openid"}, "both say where the keys are"),
        ({"jwks": "k", "ca": "ca.pem"}, "`ca` is for keys that are fetched"),
        ({"jwks": "http://a.example/k"}, "must be an `https://` URL"),
        ({"jwks": "https://u:p@a.example/k"}, "without user, password and fragment"),
        ({"jwks": "ftp://a.example/k"}, "must be an `https://` URL"),
        ({"jwks": ""}, "at least 1 character"),
        ({"jwks": None}, "must not be empty"),
        ({"discovery": True}, "'openid' or 'oauth'"),
        ({"discovery": "oidc"}, "'openid' or 'oauth'"),
    ],
)
def test_a_place_that_can_not_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KeyFields.model_validate(fields)
