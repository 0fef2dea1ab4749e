"""How callers prove who they are in the Authorization header, and whose token it was that did not hold."""

from typing import Any

import pytest
from identity.checks import build_request
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer
from identity.possession import Client, new_client

from extauthz.errors import InvalidCredential, OAuthError
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.dpop import ALGORITHMS
from extauthz.identity.lookups import Awaiting, UsedBefore
from extauthz.identity.resolver import Resolver
from extauthz.values.schemes import NO_SCHEMES, Schemes

JWT: dict[str, Any] = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "-", "algorithms": ["ES256"]}
OPAQUE: dict[str, Any] = {
    "name": "opaque",
    "issuer": "https://opaque.example.com",
    "introspection": {"url": "https://opaque.example.com/i", "client_id": "c", "client_secret_file": "s"},
}
EDGE: dict[str, Any] = {"name": "edge", "issuer": ISSUER, "from": ["metadata:envoy.filters.http.jwt_authn/payload"]}
SVID: dict[str, Any] = {"audiences": ["x"], "bundles": {"prod.example.org": "b.json"}}
CLUSTER: dict[str, Any] = {
    "trust_domain": "prod.example.org", "issuer": "https://k8s.example.com", "audiences": ["x"], "jwks": "k.json",
}  # fmt: skip
BEARER, BOTH, DPOP = (
    Schemes(bearer=True),
    Schemes(bearer=True, proof_algorithms=ALGORITHMS),
    Schemes(proof_algorithms=ALGORITHMS),
)


def workload(source: str, block: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"workload": {"sources": [source], source: {**block, **more}}}


@pytest.mark.parametrize(
    ("identity", "schemes"),
    [
        ({}, NO_SCHEMES),
        ({"users": [JWT]}, BOTH),
        ({"users": [{**JWT, "dpop": "off"}]}, BEARER),
        ({"users": [{**JWT, "dpop": "required"}]}, DPOP),
        ({"users": [{**JWT, "from": ["cookie:session"]}]}, NO_SCHEMES),
        ({"users": [{**JWT, "from": ["cookie:session", "authorization"], "dpop": "off"}]}, BEARER),
        ({"users": [{**JWT, "dpop": "required"}, {**OPAQUE, "dpop": "off"}]}, BOTH),
        ({"users": [EDGE]}, BEARER),
        (workload("jwt_svid", SVID), BEARER),
        (workload("jwt_svid", SVID, **{"from": ["header:x-svid"]}), NO_SCHEMES),
        (workload("kubernetes", CLUSTER), BEARER),
        ({**workload("kubernetes", CLUSTER), "users": [{**JWT, "dpop": "required"}]}, BOTH),
    ],
)
def test_what_is_read_from_the_authorization_header_is_what_is_asked_for(
    identity: dict[str, Any], schemes: Schemes
) -> None:
    assert IdentitySettings.model_validate(identity).schemes == schemes


MINE, THIEF = new_client(), new_client()


@pytest.fixture(scope="module")
def users(issuer: Issuer) -> Resolver:
    """Tokens in the header, with a proof or without, and in a cookie."""
    source = {**JWT, "from": ["authorization", "cookie:session"]}
    return Resolver(IdentitySettings.model_validate({"users": [source, EDGE]}), ClientSettings(), {"idp": issuer.jwks})


def refused(resolver: Resolver, headers: dict[str, str], **parts: Any) -> OAuthError | None:
    """What the request is refused for; whoever asks whether its proof was used before hears that it was."""
    request = build_request(headers, **parts)
    try:
        known = resolver.identify(request, now=NOW)
        assert isinstance(known, Awaiting)
        resolver.identify(request, now=NOW, answers=dict.fromkeys(known.lookups, UsedBefore()))
    except InvalidCredential as error:
        return error.oauth_error
    raise AssertionError("it was not refused")


def proven(token: str, client: Client = MINE, **claims: Any) -> dict[str, str]:
    said = {"htu": "https://shop.example.com/", **claims}
    return {"authorization": f"DPoP {token}", "dpop": client.proof(token, now=NOW, **said)}


def test_a_token_in_the_header_that_does_not_hold_is_an_error_of_that_token(users: Resolver, issuer: Issuer) -> None:
    bound = issuer.token(cnf={"jkt": MINE.thumbprint})
    for credential in ("Bearer x.y.z", f"Bearer {issuer.token(exp=NOW)}", f"Bearer {bound}", "Bearer\tx", "Bearer"):
        assert refused(users, {"authorization": credential}) == "invalid_token"
    # RFC 9449 section 7.1: the token beside a good proof, of another key or of none.
    assert refused(users, proven(bound, THIEF)) == "invalid_token"
    assert refused(users, proven(issuer.token())) == "invalid_token"
    assert refused(users, proven(issuer.token(exp=NOW, cnf={"jkt": MINE.thumbprint}))) == "invalid_token"


def test_a_proof_that_does_not_hold_is_an_error_of_that_proof(users: Resolver, issuer: Issuer) -> None:
    bound = issuer.token(cnf={"jkt": MINE.thumbprint})
    assert refused(users, {"authorization": f"DPoP {bound}"}) == "invalid_dpop_proof"
    assert refused(users, {"authorization": f"DPoP {bound}", "dpop": "x.y.z"}) == "invalid_dpop_proof"
    assert refused(users, proven(bound, htm="POST")) == "invalid_dpop_proof"
    assert refused(users, proven(bound)) == "invalid_dpop_proof", "it was used before"


def test_what_envoy_has_read_from_a_bearer_token_is_an_error_of_that_token(users: Resolver) -> None:
    metadata = {"envoy.filters.http.jwt_authn": {"payload": {"iss": ISSUER, "sub": "u1", "exp": 1.0}}}
    assert refused(users, {}, metadata=metadata) == "invalid_token"


def test_an_invalid_cookie_beside_a_good_token_is_no_error_of_the_token(users: Resolver, issuer: Issuer) -> None:
    headers = {"authorization": f"Bearer {issuer.token()}", "cookie": "session=x.y.z"}
    assert refused(users, headers) is None
