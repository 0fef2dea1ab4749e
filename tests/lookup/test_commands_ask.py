"""Commands and the sources of identity: `explain` asks as the server does, `check` reads what is on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from lookup.deciding import key_set, new_key, settings_of, source
from policytest.shop import invoke
from publishing import Page, Site

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.errors import ConfigurationError
from extauthz.wire.compose import check_request

KEY = new_key("k1")


def explained(folder: Path, token: str) -> Any:
    request = check_request(
        host="shop.example.com", path="/x", headers={"authorization": f"Bearer {token}"}, source_ip="192.0.2.1"
    )
    (folder / "request.json").write_text(MessageToJson(CheckRequest.FromString(request)))
    told = invoke(
        "explain",
        "--policy",
        folder / "policies",
        "--request",
        folder / "request.json",
        "--config",
        folder / "extauthz.yaml",
        "--format",
        "json",
    )
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def test_explain_asks_for_the_keys_that_the_server_would_ask_for(site: Site, tmp_path: Path) -> None:
    settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(KEY))
    assert explained(tmp_path, KEY.token())["decision"] == "allow"
    assert site.count("/jwks") == 1
    assert explained(tmp_path, new_key("k1").token())["reason"] == "invalid-token"
    assert explained(tmp_path, new_key("k2").token())["reason"] == "invalid-token"
    site.pages["/jwks"] = Page(status=503)
    told = explained(tmp_path, KEY.token())
    assert (told["decision"], told["reason"], told["status"]) == ("deny", "issuer-unavailable", 503)
    assert told["detail"] == f"keys of `idp`: {site.url}/jwks: answered with 503"


def test_explain_asks_nobody_where_nobody_need_be_asked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(key_set(KEY))
    settings_of(
        tmp_path,
        [
            source(jwks="jwks.json"),
            source("partner", issuer="https://partner.example", jwks=f"{site.url}/jwks"),
        ],
    )
    assert explained(tmp_path, KEY.token())["decision"] == "allow"
    assert not site.asked


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"jwks": "missing.json"}, "missing.json: can't read the keys of `idp`: no such file"),
        ({"jwks": "empty.json"}, "jwks of `idp`: no public key for ES256"),
        ({"jwks": "https://127.0.0.1:1/jwks", "ca": "missing.pem"}, "missing.pem: can't read the authorities"),
        ({"jwks": "https://127.0.0.1:1/jwks", "ca": "empty.json"}, "holds no certificates of authorities"),
    ],
)
def test_check_tells_what_is_wrong_with_a_source_on_this_machine(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    (tmp_path / "empty.json").write_text('{"keys": []}')
    settings_of(tmp_path, [source(**fields)])
    told = invoke("check", tmp_path / "policies", "--config", tmp_path / "extauthz.yaml")
    assert isinstance(told.exception, ConfigurationError)
    assert message in str(told.exception)


def test_check_asks_nobody(site: Site, tmp_path: Path) -> None:
    settings_of(tmp_path, [source(jwks=f"{site.url}/jwks"), source("two", issuer=site.url, discovery="openid")])
    told = invoke("check", tmp_path / "policies", "--config", tmp_path / "extauthz.yaml")
    assert told.exit_code == 0, told.output
    assert not site.asked
