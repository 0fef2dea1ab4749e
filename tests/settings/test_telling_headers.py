"""Envoy may withhold headers. What is withheld looks absent, and nobody may be nobody, or somewhere else, for that."""

import json
from pathlib import Path
from typing import Any

import pytest

from extauthz.policy.problems import PolicyErrors
from extauthz.settings import load_settings

USER = {"name": "idp", "issuer": "https://idp.example.com", "audiences": ["shop"], "jwks": "jwks.json"}
EDGE = {"name": "edge", "issuer": "https://idp.example.com", "from": ["metadata:envoy.filters.http.jwt_authn/payload"]}
ASKED = {
    "name": "asked",
    "issuer": "https://idp.example.com",
    "introspection": {"url": "https://idp.example.com/i", "client_id": "c", "client_secret_file": "s"},
}
SVID = {"audiences": ["extauthz"], "bundles": {"prod.example.org": "bundle.json"}}
CLUSTER = {"trust_domain": "prod.example.org", "issuer": "https://k8s", "audiences": ["extauthz"], "jwks": "k.json"}


def load(tmp_path: Path, headers: object, **blocks: object) -> None:
    path = tmp_path / "extauthz.yaml"
    path.write_text(json.dumps({"policies": ["p"], "request": {"headers": headers}, **blocks}))
    load_settings(path)


def users(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"identity": {"users": sources}}


def workload(*sources: str, **blocks: object) -> dict[str, Any]:
    return {"identity": {"workload": {"sources": sources, **blocks}}}


@pytest.mark.parametrize(
    ("blocks", "header"),
    [
        (users(USER), "authorization"),
        (users(ASKED), "authorization"),
        (users({**USER, "from": ["cookie:session"]}), "cookie"),
        (users({**USER, "dpop": "required"}), "dpop"),
        (workload("jwt_svid", jwt_svid=SVID), "authorization"),
        (workload("jwt_svid", jwt_svid={**SVID, "from": ["header:x-token"]}), "x-token"),
        (workload("kubernetes", kubernetes=CLUSTER), "authorization"),
        (workload("kubernetes", kubernetes={**CLUSTER, "from": ["header:x-token"]}), "x-token"),
        (workload("xfcc", xfcc={"without_principal": True}), "x-forwarded-client-cert"),
        (workload("client_cert", client_cert={"without_principal": True}), "client-cert"),
        ({"client": {"trusted_hops": 1}}, "x-forwarded-for"),
        ({"devices": {"header": {"name": "X-Device", "from": ["spiffe://prod.example.org/gw"]}}}, "x-device"),
    ],
)
def test_a_header_that_tells_who_calls_is_not_withheld(tmp_path: Path, blocks: dict[str, Any], header: str) -> None:
    others = ["Authorization", "Cookie", "DPoP", "X-Token", "X-Forwarded-Client-Cert", "Client-Cert"]
    others += ["X-Forwarded-For", "X-Device"]
    load(tmp_path, "all", **blocks)
    load(tmp_path, others, **blocks)
    with pytest.raises(PolicyErrors) as caught:
        load(tmp_path, [name for name in others if name.lower() != header], **blocks)
    (problem,) = caught.value.problems
    assert (
        problem.message
        == f"`request.headers` lacks `{header}`, by which `identity`, `client` or `devices` knows who calls"
    )
    assert problem.hint == "add it there and to `allowed_headers` of the filter"


@pytest.mark.parametrize(
    "blocks",
    [
        {},
        users(EDGE),
        # What only confirms the principal can't make anybody of nobody.
        workload("source_principal", "peer_certificate", "xfcc", "client_cert"),
        {"client": {"trusted_hops": 0}},
    ],
)
def test_where_no_header_tells_who_calls_all_may_be_withheld(tmp_path: Path, blocks: dict[str, Any]) -> None:
    load(tmp_path, [], **blocks)
