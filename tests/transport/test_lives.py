"""How servers end: in order when they are told to, and never one without the other where there are two processes."""

import os
import signal
import socket
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from checking import told
from grpc_health.v1 import health_pb2
from patience import GENEROUS, comes, is_there
from publishing import Page, Site
from serving import Served, command, end, start
from transport.calling import OPEN, as_user, check, decided

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.methods import HEALTH_WATCH, LEAVING


def is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_server((host, int(port))).close()
    except OSError:
        return False
    return True


def envoy_of(served: Served) -> int:
    """The process of the Envoy that a server is in."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    (pid,) = [int(one) for one in children if "envoy" in Path(f"/proc/{one}/comm").read_text()]
    return pid


def test_what_is_on_its_way_is_answered_before_a_server_ends(site_folder: Path, site: Site, transport: str) -> None:
    served = start(site_folder, transport)
    before, held = site.pages["/introspect"], threading.Event()
    site.pages["/introspect"] = Page(body=before.body, headers=before.headers, held=held)
    try:
        asked = site.count("/introspect")
        with grpc.insecure_channel(served.said["grpc"]) as channel, ThreadPoolExecutor(1) as caller:
            watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(HEALTH_WATCH)
            watched = watch(b"")
            next(watched)
            waiting = caller.submit(check(served), as_user("/users"), timeout=GENEROUS)
            assert comes(lambda: site.count("/introspect") > asked)
            served.process.send_signal(signal.SIGTERM)
            last = health_pb2.HealthCheckResponse.FromString(next(watched))
            assert last.status == health_pb2.HealthCheckResponse.NOT_SERVING
            held.set()
            answer = told(CheckResponse.FromString(waiting.result()))
        assert answer["reason"] in {"allowed", "issuer-unavailable"}, "the latter where it took two seconds to get here"
        assert served.process.wait(GENEROUS) == 0
    finally:
        held.set()
        site.pages["/introspect"] = before
        end(served)


def test_callers_go_over_to_another_server_without_an_error(site_folder: Path, transport: str, tmp_path: Path) -> None:
    sockets = [f"unix:{tmp_path / name}" for name in ("a.sock", "b.sock")]
    running = [start(site_folder, transport, EXTAUTHZ_LISTEN__GRPC=address) for address in sockets]
    leaving, calling = threading.Event(), threading.Barrier(5)
    failed: list[grpc.RpcError] = []

    def call_until_the_end(_: int) -> int:
        """Calls like a balancer: the first server, until its health or a connection says that it leaves."""
        calls = 0
        checks = [check(served) for served in running]
        while not leaving.is_set() or calls < 50:
            at = 1 if leaving.is_set() else 0
            try:
                checks[at](OPEN, timeout=GENEROUS)
            except grpc.RpcError as error:
                failed.append(error)
            calls += 1
            if calls == 10:
                calling.wait(GENEROUS)
        return calls

    try:
        with ThreadPoolExecutor(4) as callers, grpc.insecure_channel(sockets[0]) as channel:
            watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(HEALTH_WATCH)
            watched = watch(b"")
            next(watched)
            counts = [callers.submit(call_until_the_end, number) for number in range(4)]
            calling.wait(GENEROUS)
            running[0].process.send_signal(signal.SIGTERM)
            next(watched)
            leaving.set()
            assert sum(count.result() for count in counts) >= 200
        assert failed == []
        assert running[0].process.wait(GENEROUS) == 0
        assert not (tmp_path / "a.sock").exists()
    finally:
        for served in running:
            end(served)


def test_calls_are_taken_until_callers_have_had_time_to_hear_that_a_server_goes(
    site_folder: Path, transport: str
) -> None:
    """As of an Envoy that has been asked to leave each connection after its first call, and has none for a moment."""
    served = start(site_folder, transport)
    try:
        assert decided(served, OPEN) == "allowed"
        served.process.send_signal(signal.SIGTERM)
        end_of_calls = time.monotonic() + LEAVING - 0.5
        while time.monotonic() < end_of_calls:
            assert decided(served, OPEN) == "allowed"
            time.sleep(0.1)
        assert served.process.wait(GENEROUS) == 0
    finally:
        end(served)


def test_a_server_that_nobody_has_called_ends_at_once(site_folder: Path, transport: str) -> None:
    served = start(site_folder, transport)
    try:
        told_to_end = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        served.next_event("stopped")
        assert time.monotonic() - told_to_end < LEAVING
    finally:
        end(served)


def test_a_unix_socket_is_for_owner_and_group(site_folder: Path, transport: str, tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"
    served = start(site_folder, transport, EXTAUTHZ_LISTEN__GRPC=f"unix:{path}")
    assert decided(served, OPEN) == "allowed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    end(served)


class TestInEnvoy:
    """The transport whose server is in another process than the one that was started."""

    @pytest.fixture
    def transport(self) -> str:
        return "pyvoy"

    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        """Its temporary files are in a folder of the test's own."""
        return {"TMPDIR": str(tmp_path)}

    def test_signals_to_all_processes_leave_it_to_the_one_that_was_started(
        self, site_folder: Path, transport: str, environ: dict[str, str], tmp_path: Path
    ) -> None:
        served = start(site_folder, transport, **environ)
        envoy = envoy_of(served)
        assert os.getsid(envoy) != os.getsid(served.process.pid), "what a terminal sends does not reach it"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(envoy, number)
        assert [decided(served, OPEN) for _ in range(5)] == ["allowed"] * 5
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(GENEROUS) == 0
        assert not is_there(envoy)
        assert list(tmp_path.iterdir()) == []
        end(served)

    def test_a_server_that_is_still_starting_can_be_stopped(
        self, site_folder: Path, transport: str, environ: dict[str, str], tmp_path: Path
    ) -> None:
        starting = subprocess.Popen(
            command(site_folder, transport), stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
        )
        with starting:
            assert comes(lambda: list(tmp_path.glob("*/envoy.json")) != [])
            starting.send_signal(signal.SIGTERM)
            _, said = starting.communicate()
        assert (starting.returncode, "Traceback" in said) == (0, False)
        assert list(tmp_path.iterdir()) == []

    def test_it_ends_with_its_parent_however_that_ends(
        self, site_folder: Path, transport: str, environ: dict[str, str], tmp_path: Path
    ) -> None:
        served = start(site_folder, transport, **environ)
        envoy = envoy_of(served)
        served.process.kill()
        assert comes(lambda: not is_there(envoy))
        assert comes(lambda: is_free(served.said["grpc"])), (
            "of a process that has ended some threads may still be ending"
        )
        assert list(tmp_path.iterdir()) == []
        end(served)

    def test_an_envoy_that_is_killed_is_replaced(
        self, site_folder: Path, transport: str, environ: dict[str, str], tmp_path: Path
    ) -> None:
        served = start(site_folder, transport, **environ)
        os.kill(envoy_of(served), signal.SIGKILL)
        assert served.next_event("worker-ended")["end"] == "killed by signal 9"
        served.said = served.next_event("serving")
        assert decided(served, OPEN) == "allowed"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(GENEROUS) == 0
        assert list(tmp_path.iterdir()) == []
        end(served)

    def test_its_admin_interface_is_for_the_owner_alone(
        self, site_folder: Path, transport: str, environ: dict[str, str], tmp_path: Path
    ) -> None:
        served = start(site_folder, transport, **environ)
        (folder,) = tmp_path.iterdir()
        admin = folder / "admin.sock"
        assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(admin.stat().st_mode)) == (0o700, 0o600)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(admin))) as client:
            listeners = client.get("http://admin/listeners?format=json").json()["listener_statuses"]
        assert len(listeners) == 1, "no other protocol, no other port"
        end(served)
