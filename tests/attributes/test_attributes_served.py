"""A running server that asks attribute sources, over HTTP and gRPC, on both transports."""

import json
from pathlib import Path

import grpc
import pytest
import yaml
from attributes.asking_sources import answering, failing, serving
from patience import comes
from publishing import Page, Site
from serving import CONFIG, end, on_one_transport, start

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: gold, paths: [/gold], when: attributes.crm.tier == "gold", effect: allow}
    - {name: managed, paths: [/managed], when: attributes.devices.managed, effect: allow}
    - {name: held, paths: [/held], effect: allow}
    - {name: guard, paths: [/held], when: '!attributes.devices.managed', effect: deny}
"""


@pytest.fixture
def folder(tmp_path: Path, site: Site) -> Path:
    """A configuration with a source of each kind; the one over gRPC is asked at a socket in the folder."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY)
    sources = [
        {
            "name": "crm",
            "http": {"url": site.url + "/customers/{customer}"},
            "ask": {"customer": "request.headers['x-customer']"},
            "fields": {"tier": "string"},
            "timeout": "5s",
        },
        {
            "name": "devices",
            "grpc": {"url": f"unix:{tmp_path}/devices.sock"},
            "ask": {"device": "request.headers['x-device']"},
            "fields": {"managed": "bool"},
            "timeout": "5s",
            "cache": {"ttl": "0s"},
            "on_failure": "deny",
        },
    ]
    (tmp_path / "extauthz.yaml").write_text(CONFIG + yaml.safe_dump({"attributes": sources}))
    return tmp_path


@on_one_transport
def test_a_server_asks_its_sources_and_tells_how_it_stands_with_them(folder: Path, site: Site, transport: str) -> None:
    site.pages["/customers/acme"] = Page(
        body=json.dumps({"tier": "gold"}), headers={"content-type": "application/json"}
    )
    with serving(answering(managed=True), address=f"unix:{folder}/devices.sock") as devices:
        served = start(folder, transport)
        try:
            assert [served.allows("/gold", **{"x-customer": "acme"}) for _ in range(3)] == [True] * 3
            assert site.count("/customers/acme") == 1
            assert not served.allows("/gold", **{"x-customer": "globex"})
            assert not served.allows("/gold")
            assert served.allows("/managed", **{"x-device": "d1"})
            assert served.allows("/held", **{"x-device": "d1"})
            assert [one.asked["device"] for one in devices.asked] == ["d1", "d1"]
            assert served.metric('extauthz_attributes_questions_total{result="remembered",source="crm"}') == 2
            devices.answer = failing(grpc.StatusCode.UNAVAILABLE)
            status = served.answer("/held", {"x-device": "d1"}).denied_response.status.code
            assert status == 503
            for _ in range(4):
                served.answer("/held", {"x-device": "d1"})
            assert served.metric('extauthz_attributes_given_up{source="devices"}') == 1
            assert served.next_event("attributes-out-of-reach")["source"] == "devices"
        finally:
            end(served)


@on_one_transport
def test_a_server_starts_without_its_sources(folder: Path, site: Site, transport: str) -> None:
    site.down()
    served = start(folder, transport)
    try:
        assert not served.allows("/gold", **{"x-customer": "acme"})
        assert served.answer("/managed", {"x-device": "d1"}).denied_response.status.code == 503
        site.pages["/customers/acme"] = Page(
            body=json.dumps({"tier": "gold"}), headers={"content-type": "application/json"}
        )
        site.up()
        assert comes(lambda: served.allows("/gold", **{"x-customer": "acme"}))
    finally:
        end(served)
