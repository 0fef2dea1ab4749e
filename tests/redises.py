"""Real Redis servers on loopback or Unix sockets: one, a cluster, or a master with a replica and Sentinels."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from ports import free_port
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

_STARTING = 20.0


def find_redis() -> str:
    """The server's command; without it: a skip, or a failure where `REQUIRE_ALL` is set."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        message = "no `redis-server` here; install it to run these tests"
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    return found


class RedisProcess:
    """A Redis that keeps what it has in `folder`, so that it can be stopped and started again.

    On the Unix socket `folder/redis.sock`, and on `port` if there is one.
    """

    def __init__(self, folder: Path, *options: str, port: int = 0, sentinel: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port
        self._plain_port = 0 if "--tls-port" in options else port
        self._options = (*([] if sentinel else ["--save", "", "--maxmemory-policy", "noeviction"]), *options)
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """The path of its Unix socket."""
        return str(self.folder / "redis.sock")

    @property
    def url(self) -> str:
        """Its address by the Unix socket."""
        return f"redis+unix://{self.socket}"

    def client(self, password: str | None = None) -> Redis:
        """A client of its own, to look and to break."""
        return Redis(unix_socket_path=self.socket, password=password, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        configuration = self.folder / "redis.conf"
        if not configuration.exists():
            configuration.write_text("")
        command = [
            *(find_redis(), str(configuration), "--dir", str(self.folder), "--bind", "127.0.0.1"),
            *("--port", str(self._plain_port), "--unixsocket", self.socket, "--logfile", str(self.folder / "log")),
            *self._options,
            *(["--sentinel"] if self._sentinel else []),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + _STARTING
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop(how=signal.SIGKILL)
                pytest.fail((self.folder / "log").read_text())
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.execute_command("PING")
        except AuthenticationError:
            return True  # it asks for a password
        except (RedisError, OSError):
            return False
        return True

    def pause(self) -> None:
        """Let it hang: it takes connections and answers nothing."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # a busy machine may let it answer once more

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def stop(self, *, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; what it keeps is as it was configured to be kept."""
        if self._process is not None:
            self._signal(how)
            self._signal(signal.SIGCONT)
            self._process.wait(timeout=20)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(how=signal.SIGKILL)


@contextmanager
def running_cluster(folder: Path, *, nodes: int = 3) -> Iterator[Sequence[RedisProcess]]:
    """A cluster of this many masters that know each other and share the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
    started: list[RedisProcess] = []
    try:
        started += [RedisProcess(folder / str(number), *options, port=free_port()) for number in range(nodes)]
        for node in started:
            node.start()
        bounds = [16_384 * number // nodes for number in range(nodes + 1)]
        for number, node in enumerate(started):
            with node.client() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
                for other in started[:number]:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        end = time.monotonic() + _STARTING
        while not all(_knows_all(node) for node in started):
            assert time.monotonic() < end, "the cluster does not come together"
            time.sleep(0.02)
        yield started
    finally:
        for node in started:
            node.stop(how=signal.SIGKILL)


def _knows_all(node: RedisProcess) -> bool:
    with node.client() as client:
        told = client.execute_command("CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and told["cluster_slots_assigned"] == "16384")
