"""Checks of the server: does it serve, with which policies, and what it says of itself."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from extauthz.app.compiled import is_compiled
from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.deployment import Deployment, NoAnswer, apart

_LONG_UNDELIVERED: Final = 3600.0
"""Seconds after which somebody should have been told of an event."""


@check("server-grpc", "the listener that Envoy asks, its certificate if it has one, and what its health service says")
async def server_grpc(deployment: Deployment) -> Sequence[Said]:
    status = await apart(deployment.served)
    address = deployment.settings.listen.grpc
    if status == "SERVING":
        return [ok(f"serves at {address}")]
    return [problem(f"{address}: says that it is {status}", "look into the server's log why it does not serve")]


@check("server-web", "the listener of the pages that people see through Envoy, and that of the approvers' pages")
async def server_web(deployment: Deployment) -> Sequence[Said]:
    listen, approvals = deployment.settings.listen, deployment.settings.approvals
    listeners = [("listen.web", listen.web)]
    if approvals.url is not None or approvals.tokens is not None:
        listeners.append(("listen.approvals", listen.approvals))
    said = []
    for setting, address in listeners:
        try:
            reply = await deployment.asked(address, "/.extauthz/", setting)
        except NoAnswer as error:
            said.append(Said(verdict="problem", seen=str(error)))
        else:
            said.append(
                problem(f"{address}: answers with {reply.status}", "look into the server's log")
                if reply.status >= 500
                else ok(f"answers at {address}")
            )
    return said


async def report(deployment: Deployment) -> tuple[int, dict[str, Any]]:
    """The status and the content of the server's `/ready`. Raises `NoAnswer`."""
    reply = await deployment.server("/ready")
    try:
        content = {**json.loads(reply.body)}
    except (ValueError, TypeError):
        raise NoAnswer(
            f"{deployment.settings.listen.admin}/ready: answers with something else; does another server listen there?"
        ) from None
    return reply.status, content


@check("server-compiled", "whether what each decision goes through is compiled, in what is installed here")
async def server_compiled(_: Deployment) -> Sequence[Said]:
    if is_compiled():
        return [ok("what each decision goes through is compiled")]
    do = "install extauthz again where there is a compiler of C (on Debian: gcc and libc6-dev)"
    return [warning("what each decision goes through is interpreted: it decides the same, more slowly", do)]


@check("server-ready", "what the server says of itself on `listen.admin`: its store, and the revocations it knows")
async def server_ready(deployment: Deployment) -> Sequence[Said]:
    status, content = await report(deployment)
    said = list(_standings(content))
    if status != 200 and not said:
        said.append(problem("it is not ready", "look into its log"))
    return said or [ok("is ready")]


def _standings(content: dict[str, Any]) -> Iterator[Said]:
    store, revocations = content.get("store") or {}, content.get("revocations") or {}
    if store.get("failing_since") is not None:
        yield problem(
            f"it can't reach its store: {str(store.get('error')).rstrip('.')}",
            "look at the store; what needs state is denied",
        )
    elif store and not store.get("reached"):
        yield problem("it has not reached its store yet", "look at the store; until then it is not ready")
    if revocations.get("stale"):
        yield problem(
            "its revocations are stale, so that requests with a user or a workload are denied", "look at the store"
        )


@check("server-keys", "the keys of issuers as the server has them: known, and confirmed by the last fetch")
async def server_keys(deployment: Deployment) -> Sequence[Said]:
    _, content = await report(deployment)
    said = []
    for name, standing in sorted((content.get("keys") or {}).items()):
        if not standing.get("known"):
            said.append(
                problem(
                    f"it has no keys of `{name}`, so that its tokens are refused: {standing.get('error')}",
                    "see `issuer-keys` for whether this machine can have them",
                )
            )
        elif standing.get("failing_since") is not None:
            said.append(
                warning(
                    f"it goes on with older keys of `{name}`: {standing.get('error')}", "mend the way to the issuer"
                )
            )
        else:
            said.append(ok(f"has the keys of `{name}`"))
    return said


@dataclass(frozen=True, slots=True)
class _Odd:
    """A metric that should be nought, or what it counts is told. `is_bad` is given value and moment."""

    metric: str
    labels: tuple[tuple[str, str], ...]
    say: Callable[[str, str], Said]
    seen: str
    do: str
    is_bad: Callable[[float, float], bool] = lambda value, _: value > 0


_ODD: Final = (
    _Odd("extauthz_records_dropped_total", (), problem, "{value:.0f} records were dropped",
         "give the disk or the collector what it needs; see docs/records.md"),
    _Odd("extauthz_audit_records_total", (("result", "lost"),), problem, "{value:.0f} records are not in the audit",
         "look at the disk of `audit.path`; `audit.when_full: deny` would deny instead"),
    _Odd("extauthz_spans_total", (("result", "dropped"),), warning, "{value:.0f} spans were dropped",
         "look at the collector; nothing but the traces is lost"),
    _Odd("extauthz_attributes_given_up", (), problem, "the attribute source `{source}` is not asked any more",
         "mend it; what reads it is denied"),
    _Odd("extauthz_addresses_current", (), warning, "the newest file of `{name}` could not be used",
         "look into the log; what was read before still counts", lambda value, _: value == 0),
    _Odd("extauthz_callers_refused_total", (), warning, "{value:.0f} callers were refused at `listen.grpc`",
         "add them to `listen.tls.callers`, or find out who they are"),
    _Odd("extauthz_overload_refusals_total", (), warning, "{value:.0f} calls were refused as too many ({reason})",
         "give it more workers or servers"),
    _Odd("extauthz_deliveries_dead", (), warning, "{value:.0f} letters to `{sink}` were given up",
         "`extauthz approvals deliveries list` shows why; mend it and send them again"),
    _Odd("extauthz_deliveries_oldest_timestamp_seconds", (), warning, "`{sink}` waits for more than an hour",
         "`extauthz approvals deliveries list` shows why", lambda value, now: 0 < value < now - _LONG_UNDELIVERED),
    _Odd("extauthz_deliveries_unwanted", (), warning, "`{sink}` wants no more letters", "take it out of the webhooks"),
    _Odd("extauthz_event_stream_total", (("result", "dropped"),), warning, "{value:.0f} events for `{sink}` dropped",
         "look at the store, which did not take them"),
    _Odd("extauthz_rule_errors_total", (), warning, "conditions of the rule `{rule}` ended in {value:.0f} errors",
         "`extauthz audit find --rule {rule}` shows them; a guard that errs denies"),
)  # fmt: skip


@check(
    "server-metrics",
    "what the server counts: records and spans dropped, letters waiting or given up, sources, overload",
)
async def server_metrics(deployment: Deployment) -> Sequence[Said]:
    reply = await deployment.server("/metrics")
    if reply.status != 200:
        return [problem(f"`/metrics` answers with {reply.status}", "look into the server's log")]
    now, said = deployment.now(), []
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            for odd in _ODD:
                wanted = all(sample.labels.get(name) == value for name, value in odd.labels)
                if sample.name == odd.metric and wanted and odd.is_bad(sample.value, now):
                    words = {"value": sample.value, **sample.labels}
                    said.append(odd.say(odd.seen.format(**words), odd.do.format(**words)))
    return said or [ok("has dropped nothing, and owes nobody an answer")]
