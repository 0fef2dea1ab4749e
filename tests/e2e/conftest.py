"""What the end-to-end tests share: one stage for all of them that need nothing else, and what can be missing."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Never

import pytest
from browsing import ARGUMENTS, find_chromium
from described import descriptors
from e2e import bootstrap
from e2e.readings import Readings, reading
from e2e.stage import Script, Stage, stage
from otlp_receivers import Receiver, over_grpc
from playwright.sync_api import Browser, sync_playwright

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

POLICIES = (Path(__file__).parent / "policies" / "gateway.yaml").read_text()


@pytest.fixture(scope="session", autouse=True)
def envoy_binary() -> Path:
    """The binary; without it these tests are skipped, or fail where everything is required."""
    try:
        return find_envoy()
    except ConfigurationError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    """Where Envoy and extauthz send their spans."""
    with over_grpc() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(collector: Receiver) -> Iterator[Stage]:
    """`envoy/gateway.yaml` as it is shipped, and beside its listener some that differ from it in one setting."""
    with stage(Script(policies=POLICIES, edit=add_listeners, collector=collector.endpoint)) as running:
        yield running


@pytest.fixture(scope="session")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readings]:
    """What Envoy says of requests, under each setting that changes it."""
    described = tmp_path_factory.mktemp("described") / "bank.pb"
    described.write_bytes(descriptors())
    with reading(described) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser; without it tests are skipped, or fail where everything is required."""
    found = find_chromium()
    if found is None:
        missing("no browser; install `chromium-headless-shell` or `chromium`")
    return found


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """One for the module. Names below `example.test` lead to this machine."""
    with sync_playwright() as playwright:
        resolving = "--host-resolver-rules=MAP *.example.test 127.0.0.1"
        running = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, resolving])
        yield running
        running.close()


def missing(message: str) -> Never:
    """Skip, or fail where `REQUIRE_ALL` is set."""
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)


def add_listeners(tree: bootstrap.Tree) -> None:
    """Listeners that differ from the shipped one in one setting."""
    for name, settings in {
        "appending": {"forward_client_cert_details": "APPEND_FORWARD"},
        # Nobody should run this; it is how a client's own words get to extauthz beside a verified certificate.
        "forwarding": {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"},
        "underscored": {"common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"}},
        "unnormalised": {"normalize_path": False},
        "repeating": {"route_config": _repeating(bootstrap.connection_manager(tree)["route_config"])},
    }.items():
        listener = copy.deepcopy(tree["static_resources"]["listeners"][0])
        listener["name"] = name
        listener["filter_chains"][0]["filters"][0]["typed_config"].update(settings)
        tree["static_resources"]["listeners"].append(listener)


def _repeating(routes: bootstrap.Tree) -> bootstrap.Tree:
    """The same routes, with a last one that repeats a request when the service breaks off."""
    repeating = copy.deepcopy(routes)
    repeating["virtual_hosts"][0]["routes"][-1]["route"]["retry_policy"] = {"retry_on": "reset", "num_retries": 2}
    return repeating
