"""Rolling restarts of the workers under load: calls through an Envoy that find no worker, or one that does not answer.

The Envoy is configured as it is shipped: the filter of envoy/gateway.yaml, which only waits longer, because who answers
is asked here and not when; the cluster of envoy/workers.yaml with its health checks. Nothing but SIGUSR2 is sent, again
when all workers are new. Callers wait for their answer before they ask again, so that nothing is refused as too much.
"""

import signal
import threading
import time
from collections import Counter
from typing import Final, Self

from bench.harness import h2load, traffic
from bench.harness.envoys import start_shipped
from bench.harness.figures import AtLeast, AtMost, Figure, Report, measured
from bench.harness.h2load import Load
from bench.harness.servers import TRANSPORTS, Transport, Yard, free_address, serve_command, serves
from bench.harness.setting import Part, Setting
from extauthz.cli.quickstart.processes import Child

NAME: Final = "drain"
WORKERS: Final = 2
RATE: Final = 1_000.0
"""Requests a second at most; so they take long enough for some restarts."""
TITLE: Final = f"Rolling restarts of {WORKERS} workers under {RATE:,.0f} requests a second"
CALLERS: Final = 16
PATIENCE: Final = 600.0
"""Seconds that the requests may take on a busy machine."""
_LOOK = 0.05
_WRITTEN = 1.0
"""Seconds after which Envoy has written what it logs."""


def _lost(transport: str) -> str:
    return f"{transport}, requests with an error"


def measure(setting: Setting) -> Report:
    """Each transport in turn."""
    figures: list[Figure] = []
    notes = ["an Envoy as it is shipped, with its health checks; workers are replaced all the time"]
    for transport in setting.transports:
        with setting.yard() as yard:
            figures += _drained(setting, yard, transport, notes)
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=tuple(notes))


def _drained(setting: Setting, yard: Yard, transport: Transport, notes: list[str]) -> list[Figure]:
    addresses = _adjacent_addresses()
    site = yard.folder / transport.name
    config = traffic.write_site(site, grpc=addresses[0], store="sqlite:///extauthz.db")
    command = [*serve_command(transport, config), "--workers", str(WORKERS)]
    # On all cores: several workers are for several, and one that starts would take a single one from the others.
    free = Yard(processes=yard.processes, folder=yard.folder, core=None)
    child = free.start(f"{transport.name} workers", command, lambda: all(map(serves, addresses)))
    errors = yard.folder / "errors.log"
    ask = start_shipped(free, addresses, errors=errors)
    wanted = setting.size.drained
    with _Renewing(child) as renewing:
        load = Load(connections=CALLERS, streams=1, calls=wanted, rate=RATE, seconds=PATIENCE, warm_up=False)
        summary = h2load.summary_of(ask, load, core=None)
    time.sleep(_WRITTEN)
    for why, times in Counter(errors.read_text().splitlines()).most_common():
        notes.append(f"{transport.name}, {times:,} errors: {why}")
    return [
        measured(f"{transport.name}, requests", "", [summary.done], better="more", target=AtLeast(value=wanted)),
        measured(f"{transport.name}, workers replaced meanwhile", "", [renewing.replaced], better="more"),
        measured(_lost(transport.name), "", [summary.done - summary.succeeded], target=AtMost(value=0)),
    ]


class _Renewing:
    """As a context: the workers of a parent are replaced, again and again."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._before = self._served()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.replaced = self._served() - self._before
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            renewed = self._said("renewed")
            self._child.process.send_signal(signal.SIGUSR2)
            while self._said("renewed") == renewed and not self._over.is_set():
                time.sleep(_LOOK)

    def _served(self) -> int:
        return self._said("worker-serving")

    def _said(self, event: str) -> int:
        return self._child.log.read_text().count(f'"event": "{event}"')


def _adjacent_addresses() -> list[str]:
    """Addresses for the workers: the first one is free, and so probably are the next."""
    host, _, port = free_address().rpartition(":")
    return [f"{host}:{int(port) + number}" for number in range(WORKERS)]


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(_lost(transport.name) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
