"""JWT-SVIDs: SPIFFE JWT-SVID sections 2 to 4, and whose token is whose."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from identity.issuer import AUDIENCE as SHOP
from identity.issuer import ISSUER, NOW, Issuer, PrivateKey
from identity.workload_tokens import (
    ADMIN,
    AUDIENCE,
    BUNDLE_NAME,
    DOMAIN,
    HEADER,
    SVIDS,
    WEB,
    bearer,
    bundle,
    known,
    resolver,
    svid,
    user_of,
    workload_of,
)

from extauthz.errors import (
    ConfigurationError,
    IdentityConflict,
    InvalidCredential,
    IssuerUnavailable,
    MalformedRequest,
)
from extauthz.identity.lookups import Done, FetchKeys, Unreachable
from extauthz.identity.resolver import Resolver
from extauthz.identity.workload_token_config import ALGORITHMS, JwtSvidSettings
from extauthz.values.identity import Identity

IDP: dict[str, Any] = {
    "name": "idp",
    "issuer": ISSUER,
    "audiences": [SHOP, AUDIENCE],
    "jwks": "jwks.json",
    "from": ["authorization", "cookie:session"],
    "algorithms": ["ES256", "RS256"],
}


@pytest.fixture(scope="module")
def here(issuer: Issuer) -> Resolver:
    return resolver(SVIDS, {BUNDLE_NAME: bundle(issuer)})


@pytest.fixture(scope="module")
def shared(issuer: Issuer) -> Resolver:
    """Users and workloads by tokens in one header, and by the very same keys: the worst case for a mix-up."""
    return resolver(SVIDS, {BUNDLE_NAME: bundle(issuer), "idp": issuer.jwks}, IDP)


def test_a_jwt_svid_is_the_workload_of_its_subject(here: Resolver, issuer: Issuer) -> None:
    for headers in (bearer(svid(issuer)), {HEADER: svid(issuer)}):
        for _ in range(2):  # first seen, and from memory
            identity = known(here, headers)
            assert workload_of(identity) == (WEB, "jwt_svid")
            assert isinstance(identity, Identity)
            assert identity.user is None
            assert identity.workload is not None
            assert (identity.workload.namespace, identity.workload.service_account) == ("shop", "web")


def test_without_a_token_nobody_is_there(here: Resolver) -> None:
    assert workload_of(known(here, {})) is None
    assert workload_of(known(here, {"authorization": "Basic dTpw"})) is None


def test_section_2_1_every_algorithm_of_the_specification_and_no_other() -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    keys: dict[str, PrivateKey] = {
        name: ec.generate_private_key(curves[name]) if name in curves else rsa_key for name in ALGORITHMS
    }
    signer = Issuer(keys=keys, algorithms={name: name for name in keys})
    here = resolver(SVIDS, {BUNDLE_NAME: bundle(signer)})
    assert len(ALGORITHMS) == 9
    for name in signer.keys:
        assert workload_of(known(here, bearer(svid(signer, name)))) == (WEB, "jwt_svid")
    for name in ("none", "HS256", "EdDSA", "ES256K", "RS1", "rs256", ""):
        assert known(here, bearer(svid(signer, "ES256", header={"alg": name}))) is InvalidCredential


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "logout+jwt"},
        {"typ": ""},
        {"typ": 1},
        {"kid": "nobody"},
        {"kid": 1},
        {"kid": None},  # optional, but then there must be one key only
        {"crit": ["exp"]},
        {"jku": "https://evil.example/jwks"},
        {"jwk": {}},
        {"x5c": []},
        {"cty": "JWT"},  # section 2: what is not described there must not be there
    ],
    ids=str,
)
def test_section_2_a_header_with_anything_else_is_refused(
    here: Resolver, issuer: Issuer, header: dict[str, Any]
) -> None:
    assert known(here, bearer(svid(issuer, header=header))) is InvalidCredential


@pytest.mark.parametrize("typ", ["JWT", "JOSE", None])
def test_section_2_3_the_types(here: Resolver, issuer: Issuer, typ: str | None) -> None:
    assert workload_of(known(here, bearer(svid(issuer, header={"typ": typ})))) == (WEB, "jwt_svid")


def test_section_2_2_without_a_key_id_the_only_key_is_meant(issuer: Issuer) -> None:
    lone = Issuer(keys={"a": issuer.keys["ec"]}, algorithms={"a": "ES256"})
    here = resolver(SVIDS, {BUNDLE_NAME: bundle(lone)})
    assert workload_of(known(here, bearer(svid(lone, "a", header={"kid": None})))) == (WEB, "jwt_svid")


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": 1},
        {"sub": ""},
        {"sub": "web"},
        {"sub": f"spiffe://{DOMAIN}"},
        {"sub": f"spiffe://{DOMAIN}/"},
        {"sub": f"spiffe://{DOMAIN}/a/../b"},
        {"sub": f"spiffe://{DOMAIN.upper()}/a"},
        {"sub": WEB.replace("spiffe", "SPIFFE")},
        {"sub": "spiffe://partner.example/a"},  # whose keys are not known
        {"aud": None},
        {"aud": []},
        {"aud": "somebody"},
        {"aud": ["somebody"]},
        {"aud": 1},
        {"aud": [AUDIENCE, 1]},
        {"aud": AUDIENCE.upper()},
        {"exp": None},
        {"exp": int(NOW)},
        {"exp": int(NOW) - 1},
        {"exp": str(int(NOW) + 300)},
        {"exp": True},
        {"exp": (int(NOW) + 300) * 1000},
        {"nbf": int(NOW) + 60},
        {"iat": int(NOW) + 60},
        {"iat": "now"},
    ],
    ids=str,
)
def test_section_3_claims_that_are_missing_or_wrong_are_refused(
    here: Resolver, issuer: Issuer, claims: dict[str, Any]
) -> None:
    assert known(here, bearer(svid(issuer, **claims))) is InvalidCredential
    assert known(here, {HEADER: svid(issuer, **claims)}) is InvalidCredential


@pytest.mark.parametrize(
    "claims",
    [{"aud": AUDIENCE}, {"aud": ["somebody", "other"]}, {"iat": None}, {"iss": "https://spire.example"}, {"jti": "1"}],
    ids=str,
)
def test_section_3_what_may_be_otherwise(here: Resolver, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert workload_of(known(here, bearer(svid(issuer, **claims)))) == (WEB, "jwt_svid")


def test_section_4_a_signature_of_anybody_else_is_refused(here: Resolver, issuer: Issuer) -> None:
    good = svid(issuer)
    head, _, tail = good.rpartition(".")
    for token in (
        svid(issuer, "stranger"),
        svid(issuer, "stranger", header={"kid": "ec"}),
        f"{head}.{tail[::-1]}",
        f"{head}.",
        head,
        good.replace(".", ".."),
        "",
        "x" * 20_000,
    ):
        assert known(here, {HEADER: token}) is InvalidCredential


def test_keys_for_something_else_in_a_bundle_sign_no_jwt_svid(issuer: Issuer) -> None:
    for use in ("sig", "x509-svid", "enc"):
        here = resolver(SVIDS, {BUNDLE_NAME: bundle(issuer, use=use)})
        assert known(here, bearer(svid(issuer))) is InvalidCredential
    with pytest.raises(ConfigurationError):
        resolver(SVIDS, {})


def test_a_bundle_that_cannot_be_used_is_told_with_the_setting_that_names_its_file() -> None:
    with pytest.raises(ConfigurationError) as told:
        resolver(SVIDS, {BUNDLE_NAME: "[]"})
    assert str(told.value).startswith(
        f"identity.workload.jwt_svid.bundles.{DOMAIN}: `{SVIDS['jwt_svid']['bundles'][DOMAIN]}`: "
    )


def test_the_keys_of_one_trust_domain_vouch_for_no_other(issuer: Issuer) -> None:
    block = {**SVIDS["jwt_svid"], "bundles": {DOMAIN: "a.json", "partner.example": "b.json"}}
    partner = Issuer(keys={"p": ec.generate_private_key(ec.SECP256R1())}, algorithms={"p": "ES256"})
    jwks = {BUNDLE_NAME: bundle(issuer), "spiffe://partner.example": bundle(partner)}
    here = resolver(SVIDS | {"jwt_svid": block}, jwks)
    assert workload_of(known(here, bearer(svid(partner, "p", sub="spiffe://partner.example/a")))) is not None
    assert known(here, bearer(svid(partner, "p"))) is InvalidCredential
    assert known(here, bearer(svid(issuer, sub="spiffe://partner.example/a"))) is InvalidCredential


def test_a_remembered_token_ends_in_time(here: Resolver, issuer: Issuer) -> None:
    token = bearer(svid(issuer))
    for now, expected in [(NOW, True), (NOW + 299.9, True), (NOW + 300, False), (NOW - 31, False)] * 2:
        outcome = known(here, token, now=now)
        if expected:
            assert workload_of(outcome) == (WEB, "jwt_svid")
        else:
            assert outcome is InvalidCredential


def test_a_removed_key_ends_what_it_signed(issuer: Issuer) -> None:
    before = resolver(SVIDS, {BUNDLE_NAME: bundle(issuer)})
    token = bearer(svid(issuer))
    assert workload_of(known(before, token)) == (WEB, "jwt_svid")
    rotated = Issuer(keys={"new": ec.generate_private_key(ec.SECP256R1())}, algorithms={"new": "ES256"})
    source = JwtSvidSettings.model_validate(SVIDS["jwt_svid"]).keys_of(None)[0]
    after = before.with_keys(BUNDLE_NAME, source.read(bundle(rotated)))
    assert known(after, token) is InvalidCredential
    assert workload_of(known(after, bearer(svid(rotated, "new")))) == (WEB, "jwt_svid")
    # The empty bundle: the trust domain has taken all its keys back.
    revoked = before.with_keys(BUNDLE_NAME, source.read('{"keys": []}'))
    assert known(revoked, token) is InvalidCredential
    # Keys of others change nothing.
    assert workload_of(known(before.with_keys("idp", source.read('{"keys": []}')), token)) == (WEB, "jwt_svid")


def test_keys_that_are_fetched_are_asked_for_once(issuer: Issuer) -> None:
    block = {**SVIDS["jwt_svid"], "bundles": {DOMAIN: "https://spire.example/bundle"}}
    here = resolver(SVIDS | {"jwt_svid": block}, {})
    token, lookup = bearer(svid(issuer)), FetchKeys(source=BUNDLE_NAME)
    assert known(here, token) == (lookup,)
    assert known(here, token, answers={lookup: Unreachable(detail="gone")}) is IssuerUnavailable
    assert known(here, token, answers={lookup: Done()}) is IssuerUnavailable
    source = JwtSvidSettings.model_validate(block).keys_of(None)[0]
    learnt = here.with_keys(BUNDLE_NAME, source.read(bundle(issuer)))
    assert workload_of(known(learnt, token, answers={lookup: Done()})) == (WEB, "jwt_svid")
    unknown = bearer(svid(issuer, header={"kid": "new"}))
    assert known(learnt, unknown) == (lookup,)
    assert known(learnt, unknown, answers={lookup: Done()}) is InvalidCredential
    # Nobody is asked about what no key could mend.
    assert known(here, bearer(svid(issuer, sub="spiffe://partner.example/a"))) is InvalidCredential
    assert known(here, bearer(svid(issuer, header={"alg": "none"}))) is InvalidCredential


# Several sources


def test_two_that_name_two_workloads_are_nobody(here: Resolver, issuer: Issuer) -> None:
    token = svid(issuer)
    assert workload_of(known(here, bearer(token), principal=WEB)) == (WEB, "source_principal")
    assert known(here, bearer(token), principal=ADMIN) is IdentityConflict
    assert known(here, bearer(token), principal="CN=gateway") is IdentityConflict
    assert known(here, bearer(token), principal="spiffe://elsewhere.example/a") is IdentityConflict
    both = {**bearer(token), HEADER: svid(issuer, sub=ADMIN)}
    assert known(here, both) is IdentityConflict
    assert workload_of(known(here, {**bearer(token), HEADER: svid(issuer, iat=None)})) == (WEB, "jwt_svid")


def test_a_principal_that_is_not_in_use_contradicts_no_token(issuer: Issuer) -> None:
    here = resolver(SVIDS | {"sources": ["jwt_svid"]}, {BUNDLE_NAME: bundle(issuer)})
    assert workload_of(known(here, bearer(svid(issuer)), principal=ADMIN)) == (WEB, "jwt_svid")
    assert workload_of(known(here, {}, principal=ADMIN)) is None


def test_a_header_that_is_sent_twice_is_refused(here: Resolver, issuer: Issuer) -> None:
    token = svid(issuer)
    assert known(here, {HEADER: [token, token]}) is MalformedRequest
    assert known(here, {"authorization": [f"Bearer {token}"] * 2}) is MalformedRequest
    assert known(here, {HEADER: f"{token},{token}"}) is InvalidCredential


# Users and workloads


def test_whoever_reads_a_bearer_credential_alone_leaves_none_to_others(here: Resolver, issuer: Issuer) -> None:
    for token in (issuer.token(), "opaque", svid(issuer, sub="u1")):
        assert known(here, bearer(token)) is InvalidCredential
        assert known(here, {HEADER: token}) is InvalidCredential


def test_users_and_workloads_share_the_header(shared: Resolver, issuer: Issuer) -> None:
    for _ in range(2):  # first seen, and from memory
        by_user = known(shared, bearer(issuer.token()))
        assert (user_of(by_user), workload_of(by_user)) == ("u1", None)
        by_workload = known(shared, bearer(svid(issuer)))
        assert (user_of(by_workload), workload_of(by_workload)) == (None, (WEB, "jwt_svid"))
    both = known(shared, {**bearer(issuer.token()), HEADER: svid(issuer)})
    assert (user_of(both), workload_of(both)) == ("u1", (WEB, "jwt_svid"))


def test_no_token_of_a_user_is_ever_a_workload(shared: Resolver, issuer: Issuer) -> None:
    # By the same keys, for the same audience: the subject alone tells them apart, and who signs it vouches for it.
    assert known(shared, {HEADER: issuer.token(aud=AUDIENCE)}) is InvalidCredential
    for sub in ("u1", "web", "SPIFFE://prod.example.org/a", "system:serviceaccount:shop:web"):
        outcome = known(shared, bearer(issuer.token(aud=AUDIENCE, sub=sub)))
        assert outcome is InvalidCredential or workload_of(outcome) is None


def test_no_token_of_a_workload_is_ever_a_user(shared: Resolver, issuer: Issuer) -> None:
    posing = svid(issuer, iss=ISSUER)  # an issuer that signs both
    as_bearer = known(shared, bearer(posing))
    assert (user_of(as_bearer), workload_of(as_bearer)) == (None, (WEB, "jwt_svid"))
    assert known(shared, {"cookie": f"session={posing}"}) is InvalidCredential
    alone = resolver({}, {"idp": issuer.jwks}, IDP)
    for sub in (WEB, WEB.replace("spiffe", "SPIFFE"), "spiffe://"):
        assert known(alone, bearer(svid(issuer, iss=ISSUER, sub=sub))) is InvalidCredential


def test_an_invalid_token_of_a_workload_is_nobody_elses(shared: Resolver, issuer: Issuer) -> None:
    for token in (svid(issuer, "stranger"), svid(issuer, exp=int(NOW)), svid(issuer, aud="x", iss=ISSUER)):
        assert known(shared, bearer(token)) is InvalidCredential


def test_what_workload_and_user_lack_is_asked_for_at_once(issuer: Issuer) -> None:
    workload = {**SVIDS, "jwt_svid": {**SVIDS["jwt_svid"], "bundles": {DOMAIN: "https://spire.example/bundle"}}}
    fetched = {**IDP, "jwks": "https://idp.example.com/jwks"}
    here = resolver(workload, {}, fetched)
    lookups = known(here, {**bearer(issuer.token()), HEADER: svid(issuer)})
    assert lookups == (FetchKeys(source=BUNDLE_NAME), FetchKeys(source="idp"))
