"""Tokens of a certified OpenID provider: found by discovery, over the rotation of its keys, and when it is gone."""

import json
from pathlib import Path

from checking import told
from oidc.provider import AUDIENCE, OPAQUE_RESOURCE, Provider, Resource, new_keys, providing
from serving import CONFIG, Serve, Served

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: agents, paths: ["/pay"], when: user.sub == "agent" && user.claims.scope == "pay", effect: allow}
"""


def reason(served: Served, token: str) -> str:
    return told(served.answer("/pay", {"authorization": f"Bearer {token}"}))["reason"]


def configure(folder: Path, provider: Provider, **fields: str) -> None:
    users = [{"name": "idp", "issuer": provider.issuer, "audiences": [AUDIENCE], **fields}]
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "extauthz.yaml").write_text(f"{CONFIG}\nidentity: {json.dumps({'users': users})}\n")


def test_its_tokens_are_good_over_a_rotation_and_an_outage(serve: Serve, folder: Path) -> None:
    with providing(*new_keys("k1")) as provider:
        configure(folder, provider, discovery="openid")
        served = serve()
        first = provider.token()
        assert reason(served, first) == "allowed"
        provider.restart(*new_keys("k2"))
        second = provider.token()
        assert reason(served, second) == "allowed"
        assert reason(served, first) == "invalid-token"
        provider.stop()
        assert reason(served, second) == "allowed"


def test_it_may_be_away_when_the_server_starts(serve: Serve, folder: Path) -> None:
    with providing(*new_keys("k1")) as provider:
        configure(folder, provider, discovery="openid")
        token = provider.token()
        provider.stop()
        served = serve()
        served.next_event("keys-out-of-reach")
        assert reason(served, token) == "issuer-unavailable"
        provider.start()
        served.next_event("keys-back")
        assert reason(served, token) == "allowed"


def test_its_tokens_for_others_are_not_for_us(serve: Serve, folder: Path) -> None:
    with providing(*new_keys("k1")) as provider:
        configure(folder, provider, discovery="openid")
        served = serve()
        assert reason(served, provider.token()) == "allowed"
        assert reason(served, provider.token(OPAQUE_RESOURCE)) == "invalid-token"  # nothing says whom to ask
        provider.resources["https://other.example.com/"] = Resource(audience="other", format="jwt")
        provider.restart(*provider.keys)
        assert reason(served, provider.token("https://other.example.com/")) == "invalid-token"
        assert reason(served, provider.token(scope="")) == "no-rule-allows"
