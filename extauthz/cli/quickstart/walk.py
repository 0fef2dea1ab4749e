"""The walk: a set of requests through Envoy, what came back, and how that differs from what should.

Rule kept here: decision, rule and reason come from Envoy's access log, where extauthz's answer left them, and never
from what the walk expects.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from extauthz.cli.quickstart.layout import Layout
from extauthz.cli.quickstart.people import WORKLOADS
from extauthz.wire.sayable import DECISION_ID

LOG_SECONDS = 5.0
POLL_SECONDS = 0.01
REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a step should come to. `rule` is `None` where no rule decides; `answer` names a fault in the response."""

    status: int
    decision: str
    rule: str | None
    reason: str
    answer: Callable[[httpx.Response], str | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request: by whom (`workload` brings a certificate, `person` a token), what, and what should come of it.

    `body` is JSON text; `with_code` adds the one-time code of the walk.
    """

    who: str
    what: str
    method: str = "GET"
    path: str
    workload: str | None = None
    person: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    with_code: bool = False
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step came to; `differences` are lines for people, none when it is as expected."""

    step: Step
    status: int
    decision: str
    rule: str | None
    reason: str
    milliseconds: float
    differences: tuple[str, ...]


class AccessLog:
    """Envoy's access log, one JSON object a line, read while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entry(self, decision_id: str) -> Mapping[str, Any]:
        """The line of the request that this was decided about; `TimeoutError` if none appears in time."""
        deadline = time.monotonic() + LOG_SECONDS
        while time.monotonic() < deadline:
            for line in self._complete_lines():
                entry: Mapping[str, Any] = json.loads(line)
                if entry["decision_id"] == decision_id:
                    return entry
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{self._path}: no line for the decision `{decision_id}` after {LOG_SECONDS:g} s")

    def _complete_lines(self) -> Sequence[str]:
        return self._path.read_text().split("\n")[:-1] if self._path.exists() else ()


class Walker:
    """Sends steps through Envoy at `url`; holds a client for each workload and one for none."""

    def __init__(self, layout: Layout, url: str, *, code: str) -> None:
        """`code` is the one-time code that every step with one sends: a second use must not meet a new one."""
        self._layout = layout
        self._url = url
        self._code = code
        self._log = AccessLog(layout.access_log)
        self._open = ExitStack()
        self._clients = {name: self._open.enter_context(self._client(name)) for name in (None, *WORKLOADS)}

    def walk(self, steps: Sequence[Step]) -> Iterator[Outcome]:
        """Send the steps one after the other and yield what each came to."""
        for step in steps:
            yield self._send(step)

    def _send(self, step: Step) -> Outcome:
        headers = dict(step.headers)
        if step.person is not None:
            headers["authorization"] = f"Bearer {self._layout.token(step.person).read_text()}"
        if step.with_code:
            headers["x-extauthz-otp"] = self._code
        if step.body is not None:
            headers["content-type"] = "application/json"
        started = time.perf_counter()
        response = self._clients[step.workload].request(
            step.method, self._url + step.path, headers=headers, content=step.body
        )
        milliseconds = (time.perf_counter() - started) * 1000
        decision_id = response.headers.get(DECISION_ID)
        entry = {} if decision_id is None else self._log.entry(decision_id)
        return _outcome(step, response, entry, milliseconds)

    def _client(self, workload: str | None) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self._layout.ca))
        if workload is not None:
            pair = self._layout.workload(workload)
            context.load_cert_chain(pair.certificate, pair.key)
        return httpx.Client(verify=context, http2=True, timeout=REQUEST_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()


def _outcome(step: Step, response: httpx.Response, entry: Mapping[str, Any], milliseconds: float) -> Outcome:
    expected = step.expected
    status = response.status_code
    decision: str = entry.get("decision") or "no answer"
    rule: str | None = entry.get("rule") or None
    reason: str = entry.get("reason") or entry.get("details", "no decision")
    compared = (
        ("status", expected.status, status),
        ("decision", expected.decision, decision),
        ("rule", expected.rule, rule),
        ("reason", expected.reason, reason),
    )
    differences = [f"{name} should be `{wanted}`, is `{found}`" for name, wanted, found in compared if wanted != found]
    if not differences and (fault := expected.answer(response)) is not None:
        differences.append(fault)
    return Outcome(
        step=step,
        status=status,
        decision=decision,
        rule=rule,
        reason=reason,
        milliseconds=milliseconds,
        differences=tuple(differences),
    )
