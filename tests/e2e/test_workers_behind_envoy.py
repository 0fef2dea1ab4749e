"""Workers behind an Envoy that has them as `envoy/workers.yaml` says: who leaves and who comes costs no request."""

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml
from app.crews import COUNT, Running, workers_folder
from e2e import bootstrap
from patience import GENEROUS, comes

from extauthz.cli.quickstart.envoy import Admin, envoy_command

CALLERS = 2


def configuration(running: Running) -> bootstrap.Tree:
    """The filter as it is shipped in gateway.yaml, but that it asks only once and waits for a busy machine, and the
    clusters of workers.yaml."""
    gateway = bootstrap.load("gateway", tls=running.folder, run=running.folder)
    asking = bootstrap.ext_authz(gateway)
    asking["grpc_service"].pop("retry_policy", None)
    asking["grpc_service"]["timeout"] = f"{GENEROUS}s"
    manager = {
        "@type": bootstrap.connection_manager(gateway)["@type"],
        "stat_prefix": "http",
        "http_filters": [
            {"name": bootstrap.EXT_AUTHZ, "typed_config": asking},
            bootstrap.connection_manager(gateway)["http_filters"][-1],
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                }
            ]
        },
    }
    tree: bootstrap.Tree = yaml.safe_load((bootstrap.SHIPPED / "workers.yaml").read_text())
    for cluster, key in (("extauthz", "grpc"), ("extauthz_web", "web")):
        bootstrap.point(tree, cluster, {})
        found = next(entry for entry in tree["static_resources"]["clusters"] if entry["name"] == cluster)
        found["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": bootstrap.pipe(Path(running.address(number, key).removeprefix("unix:")))}}
            for number in range(COUNT)
        ]
    tree["static_resources"]["listeners"] = [
        {
            "name": "http",
            "address": bootstrap.tcp(0),
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
            ],
        }
    ]
    return {**tree, "admin": {"address": bootstrap.pipe(running.folder / "envoy.sock")}}


@contextmanager
def envoy_before(running: Running, binary: Path) -> Iterator[str]:
    """The address of an Envoy that asks these workers."""
    path = running.folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(configuration(running)))
    with (running.folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(envoy_command(binary, path), stdout=log, stderr=log)
    try:
        admin = Admin(running.folder / "envoy.sock")
        assert comes(admin.ready), (running.folder / "envoy.log").read_text()
        yield f"http://127.0.0.1:{admin.port('http')}"
    finally:
        process.kill()
        process.wait()


def test_a_rolling_restart_costs_no_request_an_error(tmp_path: Path, transport: str, envoy_binary: Path) -> None:
    running = Running(workers_folder(tmp_path), transport)
    enough = threading.Event()

    def call(url: str) -> Counter[int]:
        statuses = Counter[int]()
        with httpx.Client(base_url=url, timeout=GENEROUS, trust_env=False) as client:
            while not enough.is_set():
                statuses[client.get("/one").status_code] += 1
                time.sleep(0.01)  # what they leave over is for the workers that start
        return statuses

    try:
        running.waits_for("workers-serving")
        with envoy_before(running, envoy_binary) as url, ThreadPoolExecutor(CALLERS) as callers:
            assert httpx.get(f"{url}/two", trust_env=False, timeout=GENEROUS).status_code == 401
            calling = [callers.submit(call, url) for _ in range(CALLERS)]
            try:
                running.process.send_signal(signal.SIGUSR2)
                running.waits_for("renewed")
            finally:
                enough.set()
            statuses = sum((one.result() for one in calling), Counter[int]())
    finally:
        running.end()
    assert set(statuses) == {200}
    assert statuses.total() > 100
