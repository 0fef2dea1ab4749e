from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.user_config import IntrospectionSource, JwtSource, MetadataSource, namespace_and_key
from extauthz.policy.problems import PolicyErrors
from extauthz.settings import load_settings

USER: dict[str, Any] = {
    "name": "idp",
    "issuer": "https://idp.example.com",
    "audiences": ["shop"],
    "jwks": "jwks.json",
}


def test_without_a_configuration_only_the_principal_proves() -> None:
    settings = IdentitySettings()
    assert settings.workload.trust_domains is None
    assert settings.workload.sources == ("source_principal", "xfcc")
    assert (settings.workload.xfcc.accept, settings.workload.xfcc.without_principal) == ("last", False)
    assert settings.users == ()
    assert (ClientSettings().trusted_hops, ClientSettings().xff) == (0, "appended")


def test_every_key_is_read() -> None:
    settings = IdentitySettings.model_validate(
        {
            "workload": {
                "trust_domains": ["prod.example.org"],
                "sources": ["source_principal", "xfcc"],
                "xfcc": {"accept": "only", "without_principal": True},
            },
            "users": [
                {
                    **USER,
                    "algorithms": ["ES256", "EdDSA"],
                    "from": ["authorization", "cookie:session"],
                    "groups_claim": "roles",
                    "leeway": "1m",
                }
            ],
        }
    )
    (user,) = settings.users
    assert isinstance(user, JwtSource)
    assert user.places == ("authorization", "cookie:session")
    assert (user.algorithms, user.groups_claim, user.leeway) == (("ES256", "EdDSA"), "roles", 60.0)
    assert settings.workload.xfcc.accept == "only"


def test_a_source_reads_the_authorization_header_and_takes_rs256_and_es256_by_default() -> None:
    (user,) = IdentitySettings.model_validate({"users": [USER]}).users
    assert isinstance(user, JwtSource)
    assert (user.places, user.algorithms) == (("authorization",), ("RS256", "ES256"))
    assert (user.groups_claim, user.leeway) == ("groups", 30.0)


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("500ms", 0.5), ("90s", 90), ("5m", 300)])
def test_leeway_is_a_duration(text: object, seconds: float) -> None:
    (user,) = IdentitySettings.model_validate({"users": [{**USER, "leeway": text}]}).users
    assert user.leeway == seconds


def _users(*changes: dict[str, object]) -> dict[str, object]:
    return {"users": [{**USER, **change} for change in changes]}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"wrokload": {}}, "Extra inputs"),
        ({"workload": {"domains": []}}, "Extra inputs"),
        ({"workload": {"xfcc": {"acept": "last"}}}, "Extra inputs"),
        # empty means no
        ({"workload": {"trust_domains": []}}, "at least 1 item"),
        ({"workload": {"sources": []}}, "at least 1 item"),
        ({"workload": {"sources": ["xfcc", "xfcc"]}}, "`xfcc` is listed twice"),
        ({"workload": {"sources": ["xfcc"]}}, "proves nothing alone"),
        ({"workload": {"sources": ["metadata"]}}, "Input should be"),
        ({"workload": {"xfcc": {"accept": "first"}}}, "Input should be"),
        ({"workload": {"xfcc": {"accept": "none", "without_principal": True}}}, "ignores it"),
        ({"workload": {"trust_domains": ["Prod.example.org"]}}, "`Prod.example.org` is no trust domain"),
        ({"workload": {"trust_domains": ["spiffe://prod.example.org"]}}, "is no trust domain"),
        ({"workload": {"trust_domains": ["*"]}}, "is no trust domain"),
        (_users({"audiences": []}), "at least 1 item"),
        (_users({"audiences": [""]}), "at least 1 character"),
        (_users({"algorithms": []}), "at least 1 item"),
        (_users({"from": []}), "at least 1 item"),
        (_users({"issuer": ""}), "at least 1 character"),
        (_users({"jwks": ""}), "at least 1 character"),
        (_users({"name": ""}), "at least 1 character"),
        (_users({"groups_claim": ""}), "at least 1 character"),
        # symmetric and missing signatures
        (_users({"algorithms": ["none"]}), "`none` proves nothing"),
        (_users({"algorithms": ["RS256", "HS256"]}), "`HS256` proves nothing"),
        (_users({"algorithms": ["hs512"]}), "`hs512` proves nothing"),
        (_users({"algorithms": ["RS1"]}), "Input should be"),
        (_users({"algorithms": ["ES256", "ES256"]}), "`ES256` is listed twice"),
        # places
        (_users({"from": ["header"]}), "`header` is no place for a token"),
        (_users({"from": ["cookie:"]}), "`` is no name of a cookie"),
        (_users({"from": ["cookie:a b"]}), "`a b` is no name of a cookie"),
        (_users({"from": ["cookie:a;b"]}), "`a;b` is no name of a cookie"),
        (_users({"from": ["cookie:__Host-extauthz-holder"]}), "is set by this server"),
        (_users({"from": ["cookie:__Host-extauthz-enrolment"]}), "is set by this server"),
        (_users({"from": ["authorization", "authorization"]}), "`authorization` is listed twice"),
        (_users({"places": ["authorization"]}), "Extra inputs"),
        (_users({"leeway": "6m"}), "must be at most 5m"),
        (_users({"leeway": 10}), "a duration without a unit; write `10s`"),
        (_users({"leeway": "1.5"}), "a duration without a unit; write `1.5s`"),
        (_users({"leeway": True}), "not a duration"),
        (_users({"leeway": -1}), "not a duration"),
        (_users({"leeway": "soon"}), "not a duration"),
        (_users({"jwks_uri": "https://idp.example.com/jwks"}), "Extra inputs"),
        # one token, one source
        (_users({}, {"issuer": "https://b.example"}), "`idp` is the name of two sources"),
        (_users({}, {"name": "b", "audiences": ["other"]}), "both read tokens of"),
        (_users({"from": ["cookie:a", "cookie:b"]}, {"name": "b", "from": ["cookie:b"]}), "from `cookie:b`"),
    ],
)
def test_what_could_identify_nobody_or_somebody_in_two_ways_is_refused(block: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match="validation error") as caught:
        IdentitySettings.model_validate(block)
    assert message in str(caught.value)


EDGE: dict[str, Any] = {
    "name": "edge",
    "issuer": "https://idp.example.com",
    "from": ["metadata:envoy.filters.http.jwt_authn/payload"],
}
ASKED: dict[str, Any] = {
    "name": "asked",
    "issuer": "https://idp.example.com",
    "introspection": {
        "url": "https://idp.example.com/introspect",
        "client_id": "extauthz",
        "client_secret_file": "secret",
    },
}


def test_the_keys_of_a_source_tell_its_kind() -> None:
    edge, asked, idp = IdentitySettings.model_validate(
        {"users": [EDGE, {**ASKED, "from": ["cookie:opaque"]}, USER]}
    ).users
    assert isinstance(edge, MetadataSource)
    assert isinstance(asked, IntrospectionSource)
    assert isinstance(idp, JwtSource)
    assert (edge.places, edge.audiences) == (("metadata:envoy.filters.http.jwt_authn/payload",), ())
    assert (asked.audiences, asked.dpop, asked.introspection.auth, asked.introspection.cache) == (
        (),
        "optional",
        "basic",
        30.0,
    )
    # and what was read can be handed on
    assert IdentitySettings(users=(edge, asked, idp)).users == (edge, asked, idp)


def test_a_place_in_the_metadata_is_a_namespace_and_a_key() -> None:
    assert namespace_and_key("metadata:envoy.filters.http.jwt_authn/payload") == (
        "envoy.filters.http.jwt_authn",
        "payload",
    )
    # Envoy's `payload_in_metadata` is one key, whatever it looks like
    assert namespace_and_key("metadata:ns/https://idp.example.com") == ("ns", "https://idp.example.com")


def _asked(**changes: object) -> dict[str, Any]:
    return {**ASKED, "introspection": {**ASKED["introspection"], **changes}}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({**EDGE, "jwks": "jwks.json"}, "`jwks` beside a `metadata:` place: Envoy has verified the token"),
        ({**EDGE, "discovery": "openid"}, "`discovery` beside a `metadata:` place"),
        ({**EDGE, "algorithms": ["ES256"]}, "`algorithms` beside a `metadata:` place"),
        ({**EDGE, "dpop": "optional"}, "`dpop` beside a `metadata:` place"),
        ({**EDGE, "audiences": []}, "at least 1 item"),
        ({**EDGE, "from": ["metadata:a/b", "metadata:a/b"]}, "`metadata:a/b` is listed twice"),
        ({**EDGE, "from": ["metadata:a/b", "authorization"]}, "`authorization` beside a `metadata:` place"),
        ({**EDGE, "from": ["metadata:a"]}, "write `metadata:NAMESPACE/KEY`"),
        ({**EDGE, "from": ["metadata:/b"]}, "write `metadata:NAMESPACE/KEY`"),
        ({**EDGE, "from": ["metadata:a/"]}, "write `metadata:NAMESPACE/KEY`"),
        ({**EDGE, "isuer": "x"}, "Extra inputs"),
        ({**ASKED, "jwks": "jwks.json"}, "`jwks` beside `introspection`"),
        ({**ASKED, "algorithms": ["ES256"]}, "`algorithms` beside `introspection`"),
        ({**ASKED, "ca": "ca.pem"}, "`ca` is for keys that are fetched; write it under `introspection`"),
        ({**ASKED, "audiences": [""]}, "at least 1 character"),
        ({**ASKED, "from": ["metadata:a/b"]}, "`metadata:a/b` holds claims that Envoy has verified"),
        ({**ASKED, "introspection": {}}, "Field required"),
        (_asked(url="http://idp.example.com/introspect"), "must be an `https://` URL"),
        (_asked(url="https://u:p@idp.example.com/introspect"), "without user, password and fragment"),
        (_asked(client_secret="s3cret"), "Extra inputs"),
        (_asked(client_id=""), "at least 1 character"),
        (_asked(auth="none"), "Input should be"),
        (_asked(cache="2h"), "must be at most 1h"),
        (_asked(cache=60), "a duration without a unit; write `60s`"),
        ({**USER, "dpop": "always"}, "Input should be"),
        ({**USER, "dpop": "required", "from": ["cookie:session"]}, "`dpop: required` is for tokens in the header"),
        ({**USER, "dpop": "required", "from": ["authorization", "cookie:s"]}, "write `from: [authorization]`"),
        ({"name": "idp", "issuer": "https://a.example", "audiences": ["a"]}, "missing field `jwks`"),
        ("idp", "Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_with_a_source_is_told_in_the_words_of_its_kind(source: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        IdentitySettings.model_validate({"users": [source]})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("source", "errors"),
    [
        (
            "{name: a, issuer: a, audience: [b], jwks: j}",
            {"4:28": "unknown field `audience`; did you mean `audiences`?"},
        ),
        ("{name: a, issuer: a, audiences: [b], jwk: j}", {"4:44": "unknown field `jwk`; did you mean `jwks`?"}),
        ("{name: a, from: ['metadata:a/b'], issued: a}", {"4:41": "unknown field `issued`; did you mean `issuer`?"}),
        (
            "{name: a, issuer: a, introspections: {}, introspection: {url: 'https://a', client: b}}",
            {
                "4:28": "unknown field `introspections`; did you mean `introspection`?",
                "4:82": "unknown field `client`; did you mean `client_id`?",
                "4:63": "missing field `client_secret_file`",
            },
        ),
        # Nothing is suggested that another kind of source has.
        ("{name: a, issuer: a, from: ['metadata:a/b'], algorithm: [c]}", {"4:52": "unknown field `algorithm`"}),
    ],
)
def test_a_misspelt_key_of_a_source_is_told_with_the_one_that_is_meant(
    tmp_path: Path, source: str, errors: dict[str, str]
) -> None:
    path = tmp_path / "extauthz.yaml"
    path.write_text(f"policies: [p]\nidentity:\n  users:\n    - {source}\n")
    with pytest.raises(PolicyErrors) as caught:
        load_settings(path)
    told = (str(problem).removeprefix(f"{path}:").partition(": ") for problem in caught.value.problems)
    assert {place: message for place, _, message in told} == errors


def test_an_opaque_token_has_one_issuer_at_a_place() -> None:
    other = {**ASKED, "name": "other", "issuer": "https://other.example.com"}
    with pytest.raises(ValidationError, match="`asked` and `other` both ask about tokens from `authorization`"):
        IdentitySettings.model_validate({"users": [ASKED, other]})
    assert len(IdentitySettings.model_validate({"users": [ASKED, {**other, "from": ["cookie:o"]}]}).users) == 2


def test_an_answer_may_be_asked_for_every_time() -> None:
    (asked,) = IdentitySettings.model_validate({"users": [_asked(cache="0s")]}).users
    assert isinstance(asked, IntrospectionSource)
    assert asked.introspection.cache == 0


def test_two_sources_may_share_an_issuer_or_a_place() -> None:
    settings = IdentitySettings.model_validate(
        _users({}, {"name": "b", "from": ["cookie:b"]}, {"name": "c", "issuer": "https://c.example"})
    )
    assert [user.name for user in settings.users] == ["idp", "b", "c"]


@pytest.mark.parametrize("block", [{"trusted_hops": -1}, {"trusted_hops": 33}, {"xff": "replaced"}, {"hops": 1}])
def test_client_settings_are_bounded(block: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClientSettings.model_validate(block)
