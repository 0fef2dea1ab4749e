"""A whole server in a process of its own, as tests start and watch it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import httpx
import pytest
from patience import GENEROUS

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.methods import SERVICE
from extauthz.wire.compose import check_request

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: site}}
spec:
  rules:
    - {{name: open, paths: ["{path}"], effect: allow}}
"""
CONFIG = """
listen: {grpc: "127.0.0.1:0", web: "127.0.0.1:0", admin: "127.0.0.1:0"}
policies: [policies/]
"""


@dataclass
class Served:
    """A running server, and what it has said since."""

    process: subprocess.Popen[str]
    folder: Path
    said: dict[str, Any]
    heard: list[dict[str, Any]]

    def next_event(self, name: str) -> dict[str, Any]:
        """The next log line with this event; the process must not end before it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            said: dict[str, Any] = json.loads(line)
            self.heard.append(said)
            if said["event"] == name:
                return said
        raise AssertionError(f"the server ended before it said `{name}`")

    def allows(self, path: str, **headers: str) -> bool:
        code: int = self.answer(path, headers).status.code
        return code == 0

    def answer(self, path: str, headers: Mapping[str, str], *, timeout: float = 30) -> CheckResponse:
        """The answer to a Check of a GET, whose caller waits so many seconds."""
        with grpc.insecure_channel(self.said["grpc"]) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
            request = check_request(host="example.com", path=path, headers=headers, source_ip="127.0.0.1")
            return CheckResponse.FromString(check(request, timeout=timeout))

    def probe(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.said['admin']}{path}", timeout=GENEROUS)

    def metric(self, name: str) -> float:
        """The value of a metric, given with its labels."""
        lines = self.probe("/metrics").text.splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def write_policy(self, path: str) -> None:
        (self.folder / "policies" / "site.yaml").write_text(POLICY.format(path=path))


class Serve(Protocol):
    """Starts a server, with variables added to its environment."""

    def __call__(self, **environ: str) -> Served: ...


TRANSPORTS = ("grpcio", "pyvoy")
on_one_transport = pytest.mark.parametrize("transport", TRANSPORTS[:1])
"""For tests of what is behind the transports, where others show that it gets there on both."""


def command(folder: Path, transport: str = "grpcio") -> list[str]:
    executable = str(Path(sys.executable).parent / "extauthz")
    return [executable, "serve", "--config", str(folder / "extauthz.yaml"), "--transport", transport]


def start(folder: Path, transport: str = "grpcio", **environ: str) -> Served:
    """A server that serves; `end` it."""
    process = subprocess.Popen(
        command(folder, transport), stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
    )
    served = Served(process, folder, {}, [])
    try:
        served.said = served.next_event("serving")
    except BaseException:
        end(served)
        raise
    return served


def end(served: Served) -> None:
    """End a server however it is; what it runs in ends with it."""
    served.process.kill()
    served.process.communicate()  # until all that write to its standard error are gone
