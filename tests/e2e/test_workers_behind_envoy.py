"""Workers behind an Envoy that has them as `envoy/workers.yaml` says: who leaves and who comes costs no request."""

import asyncio
import os
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
import pytest
import yaml
from app.crews import COUNT, Running, workers_folder
from e2e import bootstrap
from patience import GENEROUS, comes

from extauthz.cli.quickstart.envoy import Admin, envoy_command

CALLERS = 2
AT_ONCE = 40
ASKED = 0.5
"""Seconds in which the requests get to their workers, and those of the living one are answered."""


def configuration(running: Running, *, repeating: bool) -> bootstrap.Tree:
    """The filter as it is shipped in gateway.yaml, but that it waits for a busy machine and asks only once unless it is
    `repeating`, and the clusters of workers.yaml."""
    gateway = bootstrap.load("gateway", tls=running.folder, run=running.folder)
    asking = bootstrap.ext_authz(gateway)
    if not repeating:
        del asking["grpc_service"]["retry_policy"]
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
def envoy_before(running: Running, binary: Path, *, repeating: bool = False) -> Iterator[str]:
    """The address of an Envoy that asks these workers."""
    path = running.folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(configuration(running, repeating=repeating)))
    with (running.folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(envoy_command(binary, path), stdout=log, stderr=log)
    try:
        admin = Admin(running.folder / "envoy.sock")
        assert comes(admin.ready), (running.folder / "envoy.log").read_text()
        yield f"http://127.0.0.1:{admin.port('http')}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("transport", ["grpcio", pytest.param("pyvoy", marks=pytest.mark.long)])
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


async def _all_at_once(url: str, pid: int) -> Counter[int]:
    """The statuses of requests that are under way when the worker with this process is killed."""
    os.kill(pid, signal.SIGSTOP)
    async with httpx.AsyncClient(base_url=url, timeout=GENEROUS, trust_env=False) as client:
        asked = [asyncio.create_task(client.get("/one")) for _ in range(AT_ONCE)]
        await asyncio.wait(asked, timeout=ASKED)
        waiting = sum(not one.done() for one in asked)
        os.kill(pid, signal.SIGKILL)
        answers = await asyncio.gather(*asked)
    assert waiting > 3, "so many are repeated by an Envoy that is told nothing"
    return Counter(answer.status_code for answer in answers)


def test_a_worker_that_is_killed_costs_no_request_an_error(tmp_path: Path, transport: str, envoy_binary: Path) -> None:
    running = Running(workers_folder(tmp_path), transport)
    try:
        running.waits_for("workers-serving")
        workers = running.children
        assert len(workers) == COUNT
        with envoy_before(running, envoy_binary, repeating=True) as url:
            for _ in range(AT_ONCE):  # until Envoy has connections to both
                assert httpx.get(f"{url}/one", trust_env=False, timeout=GENEROUS).status_code == 200
            statuses = asyncio.run(_all_at_once(url, workers[0]))
    finally:
        running.end()
    assert statuses == {200: AT_ONCE}
