"""Several workers as an operator has them: each at an address of its own, on both transports."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc
import pytest
from app.crews import COUNT, Running, workers_folder
from checking import told
from grpc_health.v1 import health_pb2
from patience import GENEROUS, comes, is_there
from serving import POLICY, TRANSPORTS, command

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.methods import CHECK, HEALTH_WATCH
from extauthz.wire.compose import check_request

CALLERS = 2


@pytest.fixture(scope="module", params=TRANSPORTS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Workers on each transport, for one test after the other."""
    made = Running(workers_folder(tmp_path_factory.mktemp("w")), request.param)
    made.waits_for("workers-serving")
    yield made
    made.end()


class Balancer:
    """Calls those of whose health it has heard that they serve, as an Envoy does, and notes each error."""

    def __init__(self, running: Running) -> None:
        self._channels = [
            grpc.insecure_channel(running.address(number), options=[("grpc.max_reconnect_backoff_ms", 200)])
            for number in range(COUNT)
        ]
        self._healthy = [threading.Event() for _ in range(COUNT)]
        self._enough = threading.Event()
        self.errors: list[str] = []
        self.calls = 0
        self._watchers = ThreadPoolExecutor(COUNT)
        self._callers = ThreadPoolExecutor(CALLERS)

    def __enter__(self) -> Self:
        self._watching = [self._watchers.submit(self._watch, number) for number in range(COUNT)]
        assert comes(lambda: all(one.is_set() for one in self._healthy))
        self._calling = [self._callers.submit(self._call, number) for number in range(CALLERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.calls = sum(calling.result() for calling in self._calling)
        for channel in self._channels:
            channel.close()
        for executor in (self._watchers, self._callers):
            executor.shutdown()

    def _watch(self, number: int) -> None:
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = self._channels[number].unary_stream(HEALTH_WATCH)
        while not self._enough.is_set():
            try:
                for said in watch(b"", wait_for_ready=True):
                    status = health_pb2.HealthCheckResponse.FromString(said).status
                    if status == health_pb2.HealthCheckResponse.SERVING:
                        self._healthy[number].set()
                    else:
                        self._healthy[number].clear()
            except (grpc.RpcError, ValueError):  # the connection has ended, or the channel is closed
                self._healthy[number].clear()

    def _call(self, first: int) -> int:
        request = check_request(host="example.com", path="/one", source_ip="127.0.0.1")
        checks: list[grpc.UnaryUnaryMultiCallable[bytes, bytes]] = [one.unary_unary(CHECK) for one in self._channels]
        calls = 0
        while not self._enough.is_set():
            chosen = [number for number in range(COUNT) if self._healthy[number].is_set()]
            if not chosen:
                self.errors.append("nobody serves")
                return calls
            try:
                answer = checks[chosen[(first + calls) % len(chosen)]](request, timeout=GENEROUS)
                assert told(CheckResponse.FromString(answer))["reason"] == "allowed"
            except grpc.RpcError as error:
                self.errors.append(str(error))
            calls += 1
            time.sleep(0.01)  # what they leave over is for the workers that start
        return calls


def test_each_worker_answers_at_its_own_addresses_by_the_same_policies(running: Running) -> None:
    (serving,) = running.said("workers-serving")
    assert serving["grpc"] == [running.address(number) for number in range(COUNT)]
    assert [running.allows(number, "/one") for number in range(COUNT)] == [True] * COUNT
    assert running.revisions() == [serving["revision"]] * COUNT
    assert {line["worker"] for line in running.said("serving")} == set(range(COUNT))
    for number in range(COUNT):
        assert re.search(r"^process_resident_memory_bytes ", running.probe(number, "/metrics").text, re.MULTILINE)


def test_workers_write_whole_lines_into_one_audit_file(running: Running) -> None:
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda turn: running.allows(turn % COUNT, "/one"), range(80)))
    audit = running.folder / "audit.jsonl"
    assert comes(lambda: audit.read_text().count('"decision":') >= 80)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {line["decision"] for line in lines if "event" not in line} == {"allow"}


def test_a_reload_brings_the_same_policies_to_all(running: Running) -> None:
    before = running.revisions()
    reloads = len(running.said("reloaded"))
    (running.folder / "policies" / "more.yaml").write_text(POLICY.format(path="/two").replace("site", "more"))
    running.process.send_signal(signal.SIGHUP)
    running.waits_for("reloaded", reloads + COUNT)
    after = running.revisions()
    assert len(set(after)) == 1
    assert after != before
    assert [running.allows(number, "/two") for number in range(COUNT)] == [True] * COUNT


def test_a_worker_that_is_killed_is_replaced_and_the_others_serve_on(running: Running) -> None:
    before = set(running.children)
    back = len(running.said("worker-serving"))
    with Balancer(running) as balancer:
        os.kill(min(before), signal.SIGKILL)
        running.waits_for("worker-ended")
        running.waits_for("worker-serving", back + 1)
    assert balancer.calls > 0
    after = set(running.children)
    assert len(after) == COUNT
    assert len(after & before) == COUNT - 1
    assert len(set(running.revisions())) == 1
    assert [running.allows(number, "/one") for number in range(COUNT)] == [True] * COUNT


def test_a_rolling_restart_costs_no_call_an_error(running: Running) -> None:
    before = set(running.children)
    with Balancer(running) as balancer:
        running.process.send_signal(signal.SIGUSR2)
        running.waits_for("renewed")
    assert balancer.errors == []
    assert balancer.calls > 100
    assert before.isdisjoint(running.children)


def test_workers_answer_what_is_on_its_way_when_the_parent_is_told_to_stop(tmp_path: Path, transport: str) -> None:
    running = Running(workers_folder(tmp_path), transport)
    try:
        running.waits_for("workers-serving")
        workers = running.children
        with Balancer(running) as balancer:
            assert comes(lambda: (tmp_path / "audit.jsonl").stat().st_size > 0)
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(GENEROUS) == 0
        assert set(balancer.errors) <= {"nobody serves"}
        assert not any(is_there(pid) for pid in workers)
        assert list(tmp_path.glob("*.sock")) == []
        assert list(running.temporary.iterdir()) == []
    finally:
        running.end()


def test_no_worker_outlives_its_parent(tmp_path: Path, transport: str) -> None:
    running = Running(workers_folder(tmp_path), transport)
    try:
        running.waits_for("workers-serving")
        workers = running.children
        assert len(workers) >= COUNT
    finally:
        running.end()
    assert comes(lambda: not any(is_there(pid) for pid in workers))


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"EXTAUTHZ_STORE": "memory:"}, "store: `memory:` is inside of one process and can't be shared by 2 workers"),
        (
            {"EXTAUTHZ_LISTEN__GRPC": "127.0.0.1:9191", "EXTAUTHZ_LISTEN__WEB": "127.0.0.1:9192"},
            "listen.grpc: `127.0.0.1:9192` is that of listen.web, too",
        ),
        ({"EXTAUTHZ_LISTEN__GRPC": "127.0.0.1:65535"}, "listen.grpc: 2 workers need as many ports from here on"),
    ],
)
def test_what_workers_can_not_share_is_told_in_one_line(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    ended = subprocess.run(
        [*command(workers_folder(tmp_path)), "--workers", str(COUNT)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"extauthz: {message}")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "extauthz.db").exists()
