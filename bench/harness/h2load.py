"""The load generator: `h2load` of nghttp2, how it is called and what it says.

Each call of a run is the same request, so HPACK makes its headers a few bytes, as it does between Envoy and a server.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.harness.cores import pinned
from extauthz.errors import ExtauthzError

MISSING: Final = "no h2load: install nghttp2-client (Debian, Ubuntu), nghttp2 (Fedora, Homebrew)"
GRPC: Final[Mapping[str, str]] = {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": "10S"}
"""Headers of a gRPC call, with the deadline that Envoy's calls have, far away."""
PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_PATIENCE: Final = 60.0
_RATE = re.compile(r"^finished in [^,]+, ([\d.]+) req/s", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed", re.MULTILINE)
_BODIES = re.compile(r"^traffic: .* \((\d+)\) data$", re.MULTILINE)


class LoadFailed(ExtauthzError):
    """h2load ended badly, or said what nobody expected."""


class NothingAnswered(LoadFailed):
    """No call was answered in the time that there was: the machine may have had none of it for us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Connections and the calls at a time on each. `rate`: calls a second in all; without it, as many as are answered.

    h2load sends in bursts, one each 10 ms, where a connection's share of the rate is above 100 a second.
    """

    connections: int = 4
    streams: int = 20
    seconds: float
    rate: float | None = None
    calls: int | None = None
    """It ends with these, and no sooner or later; `seconds` is then what they should take."""
    warm_up: bool = True
    """Whether a fifth of the time more is spent before the measurement."""

    def arguments(self) -> list[str]:
        """For the command line."""
        words = ["-c", str(self.connections), "-m", str(self.streams)]
        words += ["-D", f"{self.seconds * 1000:.0f}ms"] if self.calls is None else ["-n", str(self.calls)]
        if self.warm_up:
            words.append(f"--warm-up-time={self.seconds * 200:.0f}ms")
        if self.rate is not None:
            words.append(f"--rps={self.rate / self.connections:g}")
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Calls a second; calls that ended, well or badly (by HTTP status); bytes of all bodies."""

    rate: float
    done: int
    succeeded: int
    failed: int
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is sent: a URL, headers, a body to POST (without one: a GET).

    `answer_bytes` is what the body of a good answer has at least: an error of gRPC is HTTP 200 without a body.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    answer_bytes: int = 0


def missing() -> str:
    """What to install; nothing if it is there."""
    return "" if shutil.which("h2load") else MISSING


def parse_summary(text: str) -> Summary:
    """What h2load prints at its end.

    Raises:
        LoadFailed: it is something else.
    """
    rate, requests, bodies = _RATE.search(text), _REQUESTS.search(text), _BODIES.search(text)
    if rate is None or requests is None or bodies is None:
        raise LoadFailed(f"h2load: can't read what it printed: `{text[-200:].strip()}`")
    done, succeeded, failed = (int(word) for word in requests.groups())
    return Summary(rate=float(rate[1]), done=done, succeeded=succeeded, failed=failed, body_bytes=int(bodies[1]))


def parse_log(lines: Iterable[str]) -> list[float]:
    """Microseconds of each call that was answered with 2xx, sorted; from the lines of `--log-file`."""
    taken = []
    for line in lines:
        _, status, microseconds = line.split("\t")[:3]
        if status.startswith("2"):
            taken.append(float(microseconds))
    taken.sort()
    return taken


def percentile(taken: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that at least `share` of them don't exceed (nearest rank)."""
    rank = -int(-share * len(taken) // 1)
    return taken[max(rank, 1) - 1]


def percentiles(taken: Sequence[float]) -> dict[str, float]:
    """Those of `PERCENTILES`."""
    return {name: percentile(taken, share) for name, share in PERCENTILES.items()}


def rate_of(ask: Ask, load: Load, *, core: int | None) -> float:
    """Calls a second.

    Raises:
        LoadFailed: a call failed.
    """
    return _good(ask, load, core=core, log=None).rate


def latencies_of(ask: Ask, load: Load, *, core: int | None) -> tuple[float, list[float]]:
    """Calls a second, and the sorted microseconds of each.

    Raises:
        LoadFailed: a call failed, or none was answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        summary = _good(ask, load, core=core, log=log)
        with log.open() as lines:
            taken = parse_log(lines)
    if not taken:
        raise NothingAnswered(f"h2load: `{ask.url}` answered nothing in {load.seconds:g} s")
    return summary.rate, taken


def summary_of(ask: Ask, load: Load, *, core: int | None) -> Summary:
    """What became of the calls, failed ones among them.

    Raises:
        LoadFailed: h2load itself failed.
    """
    return _run(ask, load, core=core, log=None)


def _good(ask: Ask, load: Load, *, core: int | None, log: Path | None) -> Summary:
    summary = _run(ask, load, core=core, log=log)
    if not summary.done:
        raise NothingAnswered(f"h2load: `{ask.url}` answered nothing in {load.seconds:g} s; is the machine busy?")
    if summary.failed or not summary.succeeded:
        raise LoadFailed(f"h2load: {summary.failed} of {summary.done} calls to `{ask.url}` failed; what answers there?")
    if summary.body_bytes < summary.succeeded * ask.answer_bytes:
        raise LoadFailed(f"h2load: calls to `{ask.url}` ended without an answer; is it overloaded?")
    return summary


def _run(ask: Ask, load: Load, *, core: int | None, log: Path | None) -> Summary:
    with tempfile.TemporaryDirectory() as folder:
        words = ["h2load", *load.arguments()]
        words += [f"--header={name}: {value}" for name, value in ask.headers.items()]
        if ask.body is not None:
            body = Path(folder) / "body"
            body.write_bytes(ask.body)
            words.append(f"--data={body}")
        if log is not None:
            words.append(f"--log-file={log}")
        patience = load.seconds + _PATIENCE
        try:
            with pinned(core):
                ended = subprocess.run([*words, ask.url], capture_output=True, text=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            raise LoadFailed(f"h2load: `{ask.url}` kept it for more than {patience:g} s") from None
    if ended.returncode:
        raise LoadFailed(f"h2load: exit code {ended.returncode}: `{ended.stderr[-200:].strip()}`")
    return parse_summary(ended.stdout)
