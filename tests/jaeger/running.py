"""A Jaeger that keeps traces in its memory, as its own "all in one" does, and what its API tells of them."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port

from extauthz.cli.quickstart.processes import Processes

VERSION = "v1.76.0"
START_SECONDS = 60.0

Ids = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A span as Jaeger shows it; `child_of` and `follows_from` are the spans that it refers to."""

    service: str
    name: str
    ids: Ids
    child_of: frozenset[Ids]
    follows_from: frozenset[Ids]
    tags: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Jaeger:
    """Where it takes spans (OTLP over gRPC), and where it answers."""

    endpoint: str
    answers: httpx.Client

    def spans(self, service: str) -> list[Seen]:
        """Those of all traces that this service has a part in."""
        found = self.answers.get("/api/traces", params={"service": service, "limit": 1000, "lookback": "1h"})
        return [
            _seen(span, trace["processes"][span["processID"]]["serviceName"])
            for trace in found.raise_for_status().json()["data"]
            for span in trace["spans"]
        ]


def find_jaeger() -> Path:
    """The binary; without it these tests are skipped, also where everything is required: it takes long to build, and
    receivers of ours are told the same."""
    named = os.environ.get("JAEGER_BIN")
    folder = Path(named) if named else Path.home() / ".cache" / "extauthz" / f"jaeger-{VERSION}"
    if (binary := folder / "all-in-one").exists():
        return binary
    pytest.skip(f"no Jaeger in `{folder}`; run `make jaeger`, which needs Go, or name its folder in `JAEGER_BIN`")


@contextmanager
def running_jaeger(binary: Path) -> Iterator[Jaeger]:
    """Run it."""
    folder = Path(tempfile.mkdtemp(prefix="jaeger-"))
    listens = {
        name: f"127.0.0.1:{free_port()}"
        for name in (
            "admin.http",
            "collector.grpc-server",
            "collector.http-server",
            "collector.otlp.grpc",
            "collector.otlp.http",
            "query.grpc-server",
            "query.http-server",
        )
    }
    options = [f"--{name}.host-port={address}" for name, address in listens.items()]
    try:
        with (
            Processes() as processes,
            httpx.Client(base_url=f"http://{listens['query.http-server']}", trust_env=False) as answers,
            httpx.Client(base_url=f"http://{listens['admin.http']}", trust_env=False) as admin,
        ):
            jaeger = processes.start(
                "jaeger", [binary, "--log-level=warn", *options], log=folder / "jaeger.log", folder=folder
            )
            jaeger.wait_until(lambda: _is_well(admin), seconds=START_SECONDS)
            yield Jaeger(endpoint=f"http://{listens['collector.otlp.grpc']}", answers=answers)
    finally:
        shutil.rmtree(folder)


def _is_well(admin: httpx.Client) -> bool:
    try:
        return admin.get("/").status_code == 200
    except httpx.TransportError:
        return False


def _seen(span: Mapping[str, Any], service: str) -> Seen:
    def referred(kind: str) -> frozenset[Ids]:
        return frozenset((one["traceID"], one["spanID"]) for one in span["references"] if one["refType"] == kind)

    return Seen(
        service=service,
        name=span["operationName"],
        ids=(span["traceID"], span["spanID"]),
        child_of=referred("CHILD_OF"),
        follows_from=referred("FOLLOWS_FROM"),
        tags={tag["key"]: tag["value"] for tag in span["tags"]},
        warnings=tuple(span["warnings"] or ()),
    )
