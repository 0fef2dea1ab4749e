"""A real deployment that the doctor looks at: extauthz, an Envoy before it, a Redis behind it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commanding import command
from e2e import bootstrap
from e2e.conftest import missing
from e2e.stage import Script, Stage, stage
from redises import RedisProcess

from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - name: shop-may-read
      methods: [GET]
      paths: ["/open"]
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      effect: allow
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the doctor has said."""

    returncode: int
    report: dict[str, Any]

    def lines(self, *verdicts: str) -> set[tuple[str, str]]:
        """The checks with these verdicts."""
        return {(one["check"], one["verdict"]) for one in self.report["checks"] if one["verdict"] in verdicts}

    @property
    def faults(self) -> set[tuple[str, str]]:
        """What is not all right, but for the certificates of the stage, which live for a week, and for what is not
        compiled where there is no compiler.
        """
        return self.lines("warning", "problem") - {("envoy-certificates", "warning"), ("server-compiled", "warning")}

    def told(self, check: str) -> str:
        """All that a check says."""
        return "\n".join(f"{one['seen']}; {one['do']}" for one in self.report["checks"] if one["check"] == check)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The deployment, and the doctor."""

    stage: Stage
    redis: RedisProcess | None

    @property
    def config(self) -> Path:
        return self.stage.folder / "extauthz.yaml"

    @property
    def keys(self) -> Path:
        assert self.redis is not None
        return self.redis.folder.parent / "keys.json"

    @property
    def audit(self) -> Path:
        return self.keys.with_name("audit.jsonl")

    @property
    def policy(self) -> Path:
        return self.stage.folder / "policies" / "policies.yaml"

    def look(self, *, envoy_admin: str | None = None, **environ: str) -> Looked:
        admin = envoy_admin or f"unix:{self.stage.folder / 'admin.sock'}"
        ended = command(
            *("doctor", "--config", str(self.config), "--envoy-admin", admin, "--format", "json"),
            folder=self.stage.folder,
            environ={"PATH": "/usr/bin:/bin", "HOME": str(self.stage.folder), **environ},
        )
        assert ended.stderr == ""
        return Looked(returncode=ended.returncode, report=json.loads(ended.stdout))

    def look_until(self, wanted: Callable[[Looked], bool]) -> Looked:
        """Look until it is so: servers and Envoy find out in their own time."""
        until = time.monotonic() + 60
        while not wanted(looked := self.look()):
            assert time.monotonic() < until, looked.report
        return looked


def quick(tree: bootstrap.Tree) -> None:
    """The timeout of a Check as it is shipped, as the doctor would tell the longer one that tests have; and checks of
    health that soon notice what was done to the server."""
    _each(tree, "grpc_service", lambda asking: asking.update(timeout="0.25s"))
    for cluster in tree["static_resources"]["clusters"]:
        for one in cluster.get("health_checks", ()):
            one |= {"interval": "0.2s", "no_traffic_interval": "0.2s", "unhealthy_interval": "0.2s"}
            one |= {"initial_jitter": "0.1s", "unhealthy_threshold": 1, "healthy_threshold": 1}


def careless(tree: bootstrap.Tree) -> None:
    """Let everything through while nobody answers."""
    quick(tree)
    _each(tree, "typed_config", _let_through)


def _let_through(config: bootstrap.Tree) -> None:
    if config["@type"].endswith(".ext_authz.v3.ExtAuthz"):
        config["failure_mode_allow"] = True


def _each(tree: Any, key: str, work: Callable[[Any], None]) -> None:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                work(value)
            _each(value, key, work)
    elif isinstance(tree, list):
        for value in tree:
            _each(value, key, work)


@pytest.fixture(scope="session", autouse=True)
def envoy_binary() -> None:
    try:
        find_envoy()
    except ConfigurationError as error:
        missing(str(error))


def _with_a_redis(stack: ExitStack, folder: Path) -> Patient:
    redis = stack.enter_context(RedisProcess(folder / "redis", "--appendonly", "yes").start())
    make_keys(folder / "keys.json", replace=False)
    configuration = {
        "store": redis.url,
        "keys": str(folder / "keys.json"),
        "audit": {"path": str(folder / "audit.jsonl")},
    }
    running = stack.enter_context(stage(Script(policies=POLICY, edit=quick, configuration=configuration)))
    return Patient(stage=running, redis=redis)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    with ExitStack() as stack:
        patient = _with_a_redis(stack, tmp_path_factory.mktemp("patient"))
        patient.look_until(lambda looked: looked.faults == set())
        yield patient


@pytest.fixture
def patient(started: Patient) -> Iterator[Patient]:
    """One on which all is well, and is again afterwards."""
    yield started
    started.look_until(lambda looked: looked.faults == set())


@pytest.fixture
def neglected() -> Iterator[Patient]:
    """One whose Envoy lets everything through while nobody answers, on an SQLite store."""
    with stage(Script(policies=POLICY, edit=careless)) as running:
        yield Patient(stage=running, redis=None)
