"""Users by claims that a real Envoy has verified, with the configuration that the page on it shows."""

import copy
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from e2e import bootstrap
from e2e.stage import Script, Stage, stage
from identity.possession import new_client

from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER

PAGE = Path(__file__).parents[2] / "docs" / "identity" / "envoy-jwt-authn.md"
PLACE = "metadata:envoy.filters.http.jwt_authn/payload"
POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: edge}
spec:
  rules:
    - name: users
      paths: ["/me"]
      when: has(user.sub)
      effect: allow
      allow:
        headers:
          x-authz-subject: user.sub
          x-authz-source: user.verified_by
          x-authz-level: string(user.claims.level + 1)
    - {name: anybody, paths: ["/open"], when: "!has(user.sub)", effect: allow}
    - {name: agents, paths: ["/agents"], when: user.actor.act.sub == "tool", effect: allow}
"""


def shown() -> list[dict[str, Any]]:
    """The filters as the page shows them."""
    (text,) = re.findall(r"^```yaml\n(http_filters:.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    filters: list[dict[str, Any]] = yaml.safe_load(text)["http_filters"]
    return filters


def verifying_envoy(tree: bootstrap.Tree) -> None:
    """Put the page's filter before the one that asks, and beside this a listener that passes nothing on."""
    jwt_authn, ext_authz = shown()
    folder = Path(tree["admin"]["address"]["pipe"]["path"]).parent
    provider = jwt_authn["typed_config"]["providers"]["idp"]
    provider |= {"issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"filename": str(folder / "jwks.json")}}
    silent = copy.deepcopy(tree["static_resources"]["listeners"][0])
    silent["name"] = "silent"
    tree["static_resources"]["listeners"].append(silent)
    passed_on = ext_authz["typed_config"]["metadata_context_namespaces"]
    for listener, namespaces in ((0, passed_on), (-1, [])):
        filters = bootstrap.connection_manager(tree, listener)["http_filters"]
        asking = next(one for one in filters if one["name"] == bootstrap.EXT_AUTHZ)
        asking["typed_config"]["metadata_context_namespaces"] = namespaces
        filters.insert(0, jwt_authn)


@pytest.fixture(scope="module")
def edge() -> Iterator[Stage]:
    users = [{"name": "edge", "issuer": ISSUER, "from": [PLACE]}]
    identity = {"workload": {"trust_domains": ["prod.example.org"]}, "users": users}
    with stage(Script(policies=POLICIES, edit=verifying_envoy, configuration={"identity": identity})) as running:
        yield running


def test_claims_that_envoy_verified_are_the_user(edge: Stage) -> None:
    response = edge.client().get("/me", headers=edge.bearer("alice", level=41))
    assert response.status_code == 200
    received = edge.service.received[-1]
    assert received.all("x-authz-subject") == ["alice"]
    assert received.all("x-authz-source") == ["edge"]
    assert received.all("x-authz-level") == ["42"], "an integer again, though a Struct knows none"


def test_the_actors_of_the_token_are_there(edge: Stage) -> None:
    chain = {"sub": "agent", "act": {"sub": "tool"}}
    assert edge.client().get("/agents", headers=edge.bearer("alice", act=chain)).status_code == 200
    chain = {"sub": "agent", "act": {"sub": "other"}}
    assert edge.client().get("/agents", headers=edge.bearer("alice", act=chain)).status_code == 403


def test_without_a_token_there_is_no_user(edge: Stage) -> None:
    assert edge.client().get("/open").status_code == 200
    assert edge.client().get("/me").status_code == 401
    assert edge.client().get("/open", headers=edge.bearer("alice")).status_code == 403


def test_an_invalid_token_is_refused_by_envoy_and_nobody_is_asked(edge: Stage) -> None:
    stranger = jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 60},
        ec.generate_private_key(ec.SECP256R1()),
        algorithm="ES256",
    )
    for token in (stranger, edge.token("alice")[:-4] + "AAAA", edge.token("alice", exp=1), "nonsense"):
        response = edge.client().get("/open", headers={"authorization": f"Bearer {token}"})
        assert response.status_code == 401
        assert "x-extauthz-decision-id" not in response.headers


def test_what_is_right_for_envoy_can_be_wrong_here(edge: Stage) -> None:
    odd: list[dict[str, object]] = [
        {"groups": "admins"},
        {"act": "agent"},
        {"uid": 2**53 + 2},
        {"cnf": {"jkt": new_client().thumbprint}},
        {"cnf": {"x5t#S256": new_client().thumbprint}},
    ]
    for claims in odd:
        response = edge.client().get("/open", headers=edge.bearer("alice", **claims))
        assert response.status_code == 401, claims
        assert edge.decided(response)["reason"] == "invalid-token"


def test_claims_that_envoy_does_not_pass_on_are_no_user(edge: Stage) -> None:
    headers = edge.bearer("alice", level=1)
    assert edge.client(listener="silent").get("/me", headers=headers).status_code == 401
    assert edge.client().get("/me", headers=headers).status_code == 200
