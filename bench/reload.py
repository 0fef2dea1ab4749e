"""What a reload of 10,000 rules does to the decisions meanwhile.

python bench/reload.py [--rules N] [--json FILE] [--check]

Two drivers ask in a closed loop, before a reload and while it lasts: one calls the checker in its own process, the
other asks a whole server over loopback gRPC from a process of its own. Every condition of every rule is new with each
reload, so that nothing can be kept. Every answer is held against the revision that it names: what the new set alone
allows is allowed by it, and by no other.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import grpc
import structlog

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.app.bundles import Bundles
from extauthz.app.reload import Reloader, Status, first_ruling
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.lookup.key_sets import KeySets
from extauthz.record.chronicle import SILENT
from extauthz.settings import Settings, load_settings
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.open import open_store
from extauthz.transport.methods import SERVICE
from extauthz.web.metrics import Metrics
from extauthz.web.probes import Readiness
from extauthz.wire.compose import check_request

MAX_RATIO = 5.0
PER_FILE = 50
BEFORE = 5.0
"""Seconds of decisions before the reload."""
DRIVERS = 2
"""Callers of the gRPC server at a time."""


@dataclass
class Figures:
    """Latencies in microseconds, and what was wrong."""

    before: list[float]
    during: list[float]
    seconds: float
    half_loaded: int

    def report(self) -> dict[str, float]:
        b, d = quantiles(self.before, n=1000), quantiles(self.during, n=1000)
        return {
            "before_p50_us": b[499],
            "before_p99_us": b[989],
            "during_p50_us": d[499],
            "during_p99_us": d[989],
            "during_max_us": max(self.during),
            "p99_ratio": d[989] / b[989],
            "decisions_during": len(self.during),
            "reload_seconds": self.seconds,
            "half_loaded": self.half_loaded,
        }


def write_policies(folder: Path, rules: int, generation: int) -> None:
    """`rules` rules on as many routes, each with its own condition; `/generation/N` is allowed by this one only."""
    folder.mkdir(exist_ok=True)
    for number in range(rules // PER_FILE):
        lines = [
            "apiVersion: extauthz/v1",
            "kind: Policy",
            f"metadata: {{name: p{number}}}",
            "spec:",
            "  rules:",
        ]
        for rule in range(PER_FILE):
            condition = (
                f'has(user.sub) && request.params.id.startsWith("{generation}-{number}-{rule}")'
                " && user.claims.tenant == context.tenant"
            )
            lines.append(
                f'    - {{name: r{rule}, methods: [GET], paths: ["/s{number}/v1/r{rule}/{{id}}"],'
                f" when: '{condition}', effect: allow}}"
            )
        if number == 0:
            lines.append(f'    - {{name: generation, paths: ["/generation/{generation}"], effect: allow}}')
        (folder / f"p{number}.yaml").write_text("\n".join(lines) + "\n")


def payload(path: str) -> bytes:
    """A Check as a gateway sends it."""
    headers = {":authority": "shop.example.com", ":method": "GET", ":path": path, "user-agent": "bench"}
    return check_request(
        id="1", method="GET", host="shop.example.com", path=path, headers=headers, source_ip="10.1.2.3"
    )


OLD, NEW = payload("/generation/1"), payload("/generation/2")


class Judge:
    """Asks for the one thing that only the old set allows and the one that only the new set does, in turn."""

    def __init__(self, ask: Callable[[bytes], bytes], old: str) -> None:
        self._ask = ask
        self._old = old
        self.half_loaded = 0

    def run(self, taken: list[float], over: Callable[[], bool]) -> None:
        """Ask until it is over."""
        turn = 0
        while not over():
            turn ^= 1
            began = time.perf_counter()
            answer = self._ask(NEW if turn else OLD)
            taken.append((time.perf_counter() - began) * 1e6)
            said = CheckResponse.FromString(answer)
            revision = said.dynamic_metadata.fields["extauthz"].struct_value.fields["revision"].string_value
            allowed_by_old = turn == 0
            if (said.status.code == 0) != (allowed_by_old == (revision == self._old)):
                self.half_loaded += 1


def judged(judges: list[Judge], reload: Callable[[], None], ended: threading.Event) -> Figures:
    """Let the judges ask before the reload and while it lasts."""
    before: list[float] = []
    during: list[float] = []
    began = time.monotonic()

    def phase(taken: list[float], over: Callable[[], bool]) -> None:
        parts: list[list[float]] = [[] for _ in judges]
        threads = [
            threading.Thread(target=judge.run, args=(part, over)) for judge, part in zip(judges, parts, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for part in parts:
            taken += part

    phase([], lambda: time.monotonic() - began > 1.0)  # warm up
    began = time.monotonic()
    phase(before, lambda: time.monotonic() - began > BEFORE)
    reload()
    began = time.monotonic()
    phase(during, ended.is_set)
    seconds = time.monotonic() - began
    return Figures(before, during, seconds, sum(judge.half_loaded for judge in judges))


CONFIG = """
listen: {grpc: "127.0.0.1:0", web: "127.0.0.1:0", admin: "127.0.0.1:0"}
policies: [policies/]
reload: {watch: false}
store: "memory:"
"""


def measure_in_process(folder: Path, rules: int) -> Figures:
    """The checker of this process, whose reloader runs in an event loop beside it."""
    settings = load_settings(folder / "extauthz.yaml")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        checker, reloader, ended = asyncio.run_coroutine_threadsafe(_parts(settings), loop).result()
        write_policies(settings.policy_paths[0], rules, 2)

        def ask(request: bytes) -> bytes:
            answer = checker.start(request)
            assert isinstance(answer, bytes)
            return answer

        def reload() -> None:
            loop.call_soon_threadsafe(reloader.request)

        figures = judged([Judge(ask, checker.ruling.policies.revision)], reload, ended)
        asyncio.run_coroutine_threadsafe(reloader.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
    return figures


async def _parts(settings: Settings) -> tuple[Checker, Reloader, threading.Event]:
    ended = threading.Event()

    class Ended(Status):
        """Tells the end of a reload, good or bad."""

        def accepted(self, ruling: Ruling, versions: Mapping[str, int], *, seconds: float) -> None:
            super().accepted(ruling, versions, seconds=seconds)
            ended.set()

        def refused(self, error: Exception) -> None:
            raise AssertionError(error)

    bundles = Bundles(settings, lambda *_: None)
    ruling, _ = await first_ruling(settings, bundles)
    surroundings = Surroundings(
        clock=time.time_ns,
        monotonic=time.monotonic,
        entropy=os.urandom,
        store=open_store("memory:", base=settings.base),
        keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))),
    )
    checker = Checker(ruling, surroundings)
    return (
        checker,
        Reloader(
            settings,
            checker,
            bundles,
            KeySets((), base=settings.base),
            Ended(Readiness(), Metrics(), SILENT, lambda _: None),
        ),
        ended,
    )


def measure_server(folder: Path, rules: int) -> Figures:
    """A server in a process of its own, asked over gRPC."""
    ended = threading.Event()
    with serving(folder, ended) as (process, said):
        write_policies(folder / "policies", rules, 2)
        with grpc.insecure_channel(said["grpc"]) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
            judges = [Judge(check, said["revision"]) for _ in range(DRIVERS)]
            return judged(judges, lambda: process.send_signal(signal.SIGHUP), ended)


@contextmanager
def serving(folder: Path, ended: threading.Event) -> Iterator[tuple["subprocess.Popen[str]", Mapping[str, str]]]:
    """A server, and what it says when it serves; sets `ended` when it has reloaded."""
    command = [str(Path(sys.executable).parent / "extauthz"), "serve", "--config", str(folder / "extauthz.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = _event(process, "serving")

        def listen() -> None:
            _event(process, "reloaded")
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
        yield process, said
    finally:
        process.kill()
        process.wait()


def _event(process: "subprocess.Popen[str]", name: str) -> Mapping[str, str]:
    assert process.stderr is not None
    for line in process.stderr:
        said: Mapping[str, str] = json.loads(line)
        assert said["event"] != "reload-refused", said
        if said["event"] == name:
            return said
    raise AssertionError(f"the server ended before it said `{name}`")


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    measures = {"in process": measure_in_process, "over gRPC": measure_server}
    figures: dict[str, dict[str, float]] = {}
    for name, measure in measures.items():
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "extauthz.yaml").write_text(CONFIG)
            write_policies(folder / "policies", options.rules, 1)
            figures[name] = measure(folder, options.rules).report()
    return report(figures, options)


def report(figures: Mapping[str, Mapping[str, float]], options: argparse.Namespace) -> int:
    """Print, write and judge."""
    print(f"reload of {options.rules} rules, µs")
    head = ("before p50", "p99", "during p50", "p99", "max", "p99 ratio", "seconds", "half-loaded")
    print(f"{'':12}" + "".join(f"{name:>12}" for name in head))
    for name, row in figures.items():
        keys = ("before_p50_us", "before_p99_us", "during_p50_us", "during_p99_us", "during_max_us")
        shown = "".join(f"{row[key]:12.0f}" for key in keys)
        print(f"{name:12}{shown}{row['p99_ratio']:12.2f}{row['reload_seconds']:12.1f}{row['half_loaded']:12.0f}")
    if options.json:
        options.json.write_text(json.dumps(figures))
    missed = []
    for name, row in figures.items():
        if row["p99_ratio"] >= MAX_RATIO:
            missed.append(f"{name}: p99 rose {row['p99_ratio']:.1f} times, not less than {MAX_RATIO:.0f}")
        if row["half_loaded"]:
            missed.append(f"{name}: {row['half_loaded']:.0f} decisions from a half-loaded set")
    for line in missed:
        print(f"missed: {line}")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
