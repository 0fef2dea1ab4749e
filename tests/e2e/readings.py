"""A stage for what Envoy says of requests: beside the shipped listener, one for each setting that changes it.

The rule: a listener differs from the shipped one in what its name says, in having no TLS where nothing depends on it,
and in the filters and routes that the tests of requests have in common.
"""

import copy
import http.client
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from e2e import bootstrap
from e2e.services import Received
from e2e.stage import Script, Stage, stage

POLICIES = (Path(__file__).parent / "policies" / "requests.yaml").read_text()
EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"
PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
LIMIT = 8_192  # `max_request_bytes` of the shipped configuration
# Listeners by what their filter that asks is told otherwise.
ASKING: dict[str, bootstrap.Tree] = {
    "joined": {"encode_raw_headers": False},
    "allowing": {"allowed_headers": {"patterns": [{"exact": "content-type"}]}},
    "text": {"with_request_body": {"max_request_bytes": LIMIT, "allow_partial_message": True}},
    "whole": {"with_request_body": {"max_request_bytes": LIMIT, "pack_as_bytes": True}},
    "unbuffered": {"with_request_body": None},
    "silent": {
        "include_tls_session": False,
        "include_peer_certificate": False,
        "metadata_context_namespaces": [],
        "route_metadata_context_namespaces": [],
    },
}
# Listeners by how they are told to treat paths otherwise.
NORMALISING: dict[str, bootstrap.Tree] = {
    "redirecting": {"merge_slashes": True, "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
    "rejecting": {"merge_slashes": True, "path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "unnormalised": {"normalize_path": False},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back over a connection, and what the service got before that."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes
    received: list[Received]

    @property
    def reason(self) -> str | None:
        """Why extauthz refused, `None` if it did not."""
        if self.received or self.headers["x-extauthz-decision-id"] is None:
            return None
        return str(json.loads(self.content)["reason"])

    def told(self, name: str) -> str | None:
        """The header of this name in the one request that the service got; `None` if it got none, or none such."""
        lines = [line for received in self.received for line in received.all(name)]
        assert len(lines) <= 1
        return lines[0] if lines else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The stage, and hands to send exactly these bytes: HTTP clients repair what they send."""

    stage: Stage
    ports: Mapping[str, int]

    def connect(self, listener: str) -> socket.socket:
        """A connection to a listener without TLS."""
        return socket.create_connection(("127.0.0.1", self.ports[listener]), timeout=15)

    def ask(self, lines: Iterable[str | bytes], *, listener: str = "plain", body: bytes = b"") -> Answer:
        """The answer to a request of these lines, a text as UTF-8."""
        before = len(self.stage.service.received)
        head = [line.encode() if isinstance(line, str) else line for line in (*lines, "connection: close", "", "")]
        with self.connect(listener) as connection:
            connection.sendall(b"\r\n".join(head) + body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            content = response.read()
        received = self.stage.service.received[before:]
        return Answer(status=response.status, headers=response.headers, content=content, received=received)

    def post(self, host: str, path: str, body: bytes, *headers: str | bytes, listener: str = "plain") -> Answer:
        """The answer to a body of this length."""
        lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}", *headers]
        return self.ask(lines, listener=listener, body=body)

    def checks(self) -> int:
        """How often extauthz was asked."""
        return self.stage.counter("cluster.extauthz.upstream_rq_total")


@contextmanager
def reading(descriptors: Path) -> Iterator[Readings]:
    """Run it; `descriptors` are those of gRPC services."""
    configuration = {"request": {"grpc": {"descriptors": str(descriptors)}}}
    with stage(Script(policies=POLICIES, edit=_edit, configuration=configuration)) as running:
        listeners = yaml.safe_load((running.folder / "envoy.yaml").read_text())["static_resources"]["listeners"]
        yield Readings(stage=running, ports={one["name"]: running.admin.port(one["name"]) for one in listeners})


def _edit(tree: bootstrap.Tree) -> None:
    manager = bootstrap.connection_manager(tree)
    manager["delayed_close_timeout"] = "0.1s"  # after an error of HTTP/2 it waits that long for the client to close
    manager["route_config"]["ignore_port_in_host_matching"] = True
    manager["route_config"]["virtual_hosts"] = [
        _virtual_host("paths.example.com", _path_routes()),
        _virtual_host("*.example.com", [*_routes(), *bootstrap.routes(tree)]),
        _virtual_host("*", bootstrap.routes(tree)),
    ]
    shop = {"metadata_namespace": "shop", "value": {"tier": "gold"}}
    manager["http_filters"].insert(0, _filter("set_metadata", "set_metadata.v3.Config", metadata=[shop]))
    bootstrap.ext_authz(tree)["metadata_context_namespaces"] = ["shop"]
    bootstrap.ext_authz(tree)["route_metadata_context_namespaces"] = ["shop"]
    manager["upgrade_configs"] = [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]
    manager["http2_protocol_options"] = {"allow_connect": True}
    _add(tree, "plain")
    for name, settings in ASKING.items():
        asking = next(one for one in _add(tree, name)["http_filters"] if one["name"] == bootstrap.EXT_AUTHZ)
        asking["typed_config"].update(settings)
    for name, settings in NORMALISING.items():
        _add(tree, name).update(settings)
        _add_alone(tree, name, settings)
    _add_alone(tree, "plain", {})
    _add_tcp(tree)


def _virtual_host(domain: str, routes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": domain, "domains": [domain], "routes": routes}


def _filter(name: str, kind: str, **settings: object) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{EXTENSIONS}.http.{kind}", **settings}}


def _routes() -> list[dict[str, Any]]:
    """The routes that the page on requests shows, and a stream on a route that buffers."""
    (text,) = re.findall(r"^```yaml\n(routes:.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shown: list[dict[str, Any]] = yaml.safe_load(text)["routes"]
    return [{"match": {"path": "/bank.Ledger/Import"}, "route": {"cluster": "service_grpc"}}, *shown]


def _path_routes() -> list[dict[str, Any]]:
    """One route for what is below a path, one for the rest; the service is told which was taken, and for what."""
    return [
        {
            "match": match,
            "route": {"cluster": "service"},
            "request_headers_to_add": [
                {"header": {"key": "x-route", "value": name}},
                {"header": {"key": "x-routed-path", "value": "%REQ(:PATH)%"}},
            ],
        }
        for name, match in (
            ("secret", {"path_separated_prefix": "/files/secret"}),
            ("other", {"prefix": "/"}),
        )
    ]


def _add(tree: bootstrap.Tree, name: str) -> bootstrap.Tree:
    """The connection manager of a new listener like the first one, without TLS."""
    listener = copy.deepcopy(tree["static_resources"]["listeners"][0])
    listener["name"] = name
    del listener["filter_chains"][0]["transport_socket"]
    tree["static_resources"]["listeners"].append(listener)
    return bootstrap.connection_manager(tree, -1)


def _add_alone(tree: bootstrap.Tree, name: str, settings: bootstrap.Tree) -> None:
    """Beside a listener the same one without the filter that asks: what Envoy does by itself."""
    manager = _add(tree, f"{name}-alone")
    manager.update(settings)
    manager["http_filters"] = manager["http_filters"][-1:]


def _add_tcp(tree: bootstrap.Tree) -> None:
    """The shipped listener for bytes, in front of the service."""
    folder = Path(tree["admin"]["address"]["pipe"]["path"]).parent
    shipped = bootstrap.load("sidecar", tls=folder, run=folder)["static_resources"]["listeners"]
    (listener,) = (one for one in shipped if one["name"] == "inbound_tcp")
    listener["filter_chains"][0]["filters"][-1]["typed_config"]["cluster"] = "service"
    tree["static_resources"]["listeners"].append(listener)
