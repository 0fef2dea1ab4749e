"""The `identity.workload:` block: what could prove nothing, or too much, is refused when it is loaded."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extauthz.identity.config import IdentitySettings
from extauthz.identity.key_config import KeyAddress, KeyFile, WorkloadApi
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.identity.workload_token_config import ALGORITHMS

DOMAIN = "prod.example.org"
SVIDS: dict[str, Any] = {"audiences": ["extauthz"], "bundles": {DOMAIN: "bundle.json"}}
CLUSTER: dict[str, Any] = {
    "trust_domain": DOMAIN,
    "issuer": "https://cluster.example",
    "audiences": ["extauthz"],
    "jwks": "cluster.json",
}
REVIEW: dict[str, Any] = {
    "trust_domain": DOMAIN,
    "issuer": "https://cluster.example",
    "audiences": ["extauthz"],
    "token_review": "https://kubernetes.default.svc",
    "token": "token",
}
URL = "https://kubernetes.default.svc/openid/v1/jwks"


def svids(**changes: Any) -> dict[str, Any]:
    return {"sources": ["jwt_svid"], "jwt_svid": SVIDS | changes}


def cluster(base: dict[str, Any] = CLUSTER, **changes: Any) -> dict[str, Any]:
    block = {name: value for name, value in (base | changes).items() if value is not None}
    return {"sources": ["kubernetes"], "kubernetes": block}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        # a source that proves nothing
        ({"sources": ["xfcc"]}, "`sources: [xfcc]` proves nothing alone"),
        ({"sources": ["client_cert"]}, "`sources: [client_cert]` proves nothing alone"),
        ({"sources": ["xfcc", "client_cert"]}, "proves nothing alone"),
        ({"sources": []}, "at least 1"),
        ({"sources": ["xfcc", "xfcc"]}, "listed twice"),
        ({"sources": ["dns"]}, "Input should be"),
        # a block that is not in use, or a source without its block
        ({"sources": ["source_principal"], "xfcc": {"accept": "only"}}, "`xfcc` is configured and not in use"),
        ({"client_cert": {"without_principal": True}}, "`client_cert` is configured and not in use"),
        ({"peer_certificate": {"bundles": {DOMAIN: "a"}}}, "`peer_certificate` is configured and not in use"),
        ({"jwt_svid": SVIDS}, "`jwt_svid` is configured and not in use"),
        ({"kubernetes": CLUSTER}, "`kubernetes` is configured and not in use"),
        ({"sources": ["jwt_svid"]}, "`sources: [jwt_svid]` needs its block"),
        ({"sources": ["kubernetes"]}, "`sources: [kubernetes]` needs its block"),
        # what goes past the bundles
        (
            {
                "sources": ["source_principal", "peer_certificate"],
                "peer_certificate": {"bundles": {DOMAIN: "bundle.pem"}},
            },
            "`source_principal` would prove what none of `peer_certificate.bundles` vouches for",
        ),
        # trust domains
        ({"trust_domains": ["Prod.example.org"]}, "is no trust domain"),
        (svids(bundles={"PROD": "a"}), "is no trust domain"),
        (cluster(trust_domain="a/b"), "is no trust domain"),
        ({**svids(), "trust_domains": ["partner.example"]}, "jwt_svid.bundles: `prod.example.org` is not in"),
        ({**cluster(), "trust_domains": ["partner.example"]}, "kubernetes.trust_domain: `prod.example.org` is not in"),
        # JWT-SVIDs
        (svids(audiences=[]), "at least 1"),
        (svids(audiences=[""]), "at least 1 character"),
        (svids(bundles={}), "needs keys"),
        (svids(bundles={DOMAIN: "http://spire.example/bundle"}), "must be an `https://` URL"),
        (svids(ca="ca.pem"), "`ca` is for bundles that are fetched"),
        (svids(workload_api="unix:/run/agent.sock"), "list those that count in `trust_domains`"),
        (svids(workload_api="tcp://127.0.0.1:80"), "not a socket"),
        (svids(workload_api="unix:agent.sock"), "not a socket"),
        (svids(**{"from": []}), "at least 1"),
        (svids(**{"from": ["cookie:session"]}), "is no place for a workload's token"),
        (svids(**{"from": ["header:X-Token"]}), "is no name of a header in lower case"),
        (svids(**{"from": ["header:"]}), "is no name of a header"),
        (svids(**{"from": ["header:authorization"]}), "holds something else"),
        (svids(**{"from": ["header:x-forwarded-client-cert"]}), "holds something else"),
        (svids(**{"from": ["header:x-extauthz-otp"]}), "holds something else"),
        (svids(keys="a"), "Extra inputs"),
        # Kubernetes
        (cluster(jwks=None), "needs one of `jwks`"),
        (cluster(token_review="https://a.example", token="t"), "needs one of `jwks`"),
        (cluster(jwks=None, discovery="openid", token_review="https://a.example", token="t"), "needs one of `jwks`"),
        (cluster(REVIEW, token=None), "`token_review` needs `token`"),
        (cluster(REVIEW, token_review="http://kubernetes.default.svc"), "must be an `https://` URL"),
        (cluster(token="token"), "`token` is for asking the API server"),
        (cluster(remember="5s"), "`remember` is for answers of `token_review`"),
        (cluster(REVIEW, remember="0s"), "a duration must be longer than nothing"),
        (cluster(REVIEW, remember="6m"), "must be at most 5m"),
        (cluster(REVIEW, remember=10), "a duration without a unit; write `10s`"),
        (cluster(audiences=[]), "at least 1"),
        (cluster(ca="ca.crt"), "`ca` is for keys that are fetched"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_loaded(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WorkloadSettings.model_validate(block)
    assert message in str(caught.value)


def test_one_issuer_speaks_for_users_or_for_workloads() -> None:
    user = {"name": "idp", "issuer": CLUSTER["issuer"], "audiences": ["shop"], "jwks": "jwks.json"}
    with pytest.raises(ValidationError, match=r"is the issuer of `idp` and of `workload\.kubernetes`"):
        IdentitySettings.model_validate({"workload": cluster(), "users": [user]})


def test_everybody_whose_keys_are_needed_is_listed() -> None:
    block = {
        "trust_domains": [DOMAIN, "partner.example", "agents.example"],
        "sources": ["jwt_svid", "kubernetes"],
        "jwt_svid": {
            "audiences": ["extauthz"],
            "bundles": {DOMAIN: "bundle.json", "partner.example": "https://partner.example/bundle"},
            "ca": "ca.pem",
            "workload_api": "unix:/run/agent.sock",
        },
        "kubernetes": CLUSTER | {"jwks": URL, "ca": "ca.crt", "token": "token"},
    }
    sources = {source.name: source for source in WorkloadSettings.model_validate(block).keys}
    assert {name: source.place for name, source in sources.items()} == {
        f"spiffe://{DOMAIN}": KeyFile(path=Path("bundle.json")),
        "spiffe://partner.example": KeyAddress(url="https://partner.example/bundle", ca=Path("ca.pem")),
        "spiffe://agents.example": WorkloadApi(socket=Path("/run/agent.sock"), trust_domain="agents.example"),
        "workload:kubernetes": KeyAddress(url=URL, ca=Path("ca.crt"), token=Path("token")),
    }
    assert {source.use for name, source in sources.items() if name.startswith("spiffe://")} == {"jwt-svid"}
    assert all(source.algorithms == ALGORITHMS for source in sources.values())


def test_a_cluster_that_reviews_tokens_needs_no_keys() -> None:
    settings = WorkloadSettings.model_validate(cluster(REVIEW))
    assert settings.keys == ()
    assert settings.kubernetes is not None
    assert (settings.kubernetes.remember, settings.kubernetes.places) == (10.0, ("authorization",))
