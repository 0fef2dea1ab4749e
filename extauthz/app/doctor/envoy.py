"""Checks of Envoy, by its administration: what it runs with, whom it asks, and what came of asking.

They are made where `--envoy-admin` names its address. Nothing is posted there.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.clocks import compared
from extauthz.app.doctor.deployment import Deployment, NoAnswer, apart
from extauthz.app.doctor.files import lifetime
from extauthz.envoy.validate.reading import UnreadableEnvoy
from extauthz.envoy.validate.run import validate
from extauthz.errors import ConfigurationError

OLDEST: Final = (1, 37)
"""The oldest minor version that the end-to-end tests can be run with, as pyproject.toml has it."""
_EXT_AUTHZ: Final = re.compile(r"envoy\.extensions\.filters\.(?:http|network)\.ext_authz\.v3\.ExtAuthz$")
_SHOWN: Final = 8


@check("envoy", "Envoy answers on its administration's address, is live, and is of a version that is tested")
async def envoy(deployment: Deployment) -> Sequence[Said]:
    if deployment.envoy_admin is None:
        return []
    info = await _json(deployment, "/server_info")
    state, version = info.get("state"), str(info.get("version", ""))
    if state != "LIVE":
        return [problem(f"is {state}", "look into Envoy's log; it takes no requests yet, or no more")]
    found = re.search(r"/(\d+)\.(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        return [warning(f"is of version {version}", f"use {OLDEST[0]}.{OLDEST[1]} or newer, which is tested")]
    return [ok(f"is live, {found[0].strip('/')}")]


@check("envoy-configuration", "what `extauthz envoy validate` says of the configuration that Envoy runs with")
async def envoy_configuration(deployment: Deployment) -> Sequence[Said]:
    if deployment.envoy_admin is None:
        return []
    text = (await deployment.envoy("/config_dump?include_eds")).text
    try:
        findings = await apart(lambda: validate([("config_dump", text)], deployment.expected))
    except UnreadableEnvoy as error:
        return [warning(f"can't be judged: {error}", "give its file to `extauthz envoy validate`")]
    said = []
    for one in findings[:_SHOWN]:
        tell = problem if one.severity == "error" else warning
        said.append(tell(f"{one.means} [{one.rule}] at {one.path or one.place}", one.do))
    if len(findings) > _SHOWN:
        do = "`extauthz envoy validate` shows all; give it the answer of `/config_dump`"
        worst = problem if any(one.severity == "error" for one in findings[_SHOWN:]) else warning
        said.append(worst(f"and {len(findings) - _SHOWN} more", do))
    return said or [ok("nothing in it makes answers of extauthz count for nothing")]


@check("envoy-cluster", "the cluster by which Envoy asks: it is there, and one of its hosts is healthy")
async def envoy_cluster(deployment: Deployment) -> Sequence[Said]:
    if deployment.envoy_admin is None:
        return []
    clusters = sorted(set(_asked_clusters(await _json(deployment, "/config_dump"))))
    if not clusters:
        return [problem("no filter asks extauthz", "add the filter; `extauthz envoy config` writes it")]
    known = {
        one.get("name"): one for one in (await _json(deployment, "/clusters?format=json")).get("cluster_statuses", ())
    }
    said = []
    for name in clusters:
        if name not in known:
            said.append(problem(f"there is no cluster `{name}`, which its filter asks", "add it, or mend its name"))
            continue
        hosts = known[name].get("host_statuses", ())
        healthy = [one for one in hosts if not _ails(one.get("health_status", {}))]
        if healthy:
            said.append(ok(f"{len(healthy)} of {len(hosts)} in `{name}` healthy"))
        else:
            do = "see `server-grpc`, and whether Envoy can reach that address"
            said.append(problem(f"none of {len(hosts)} in `{name}` is healthy", do))
    return said


def _ails(health: dict[str, Any]) -> bool:
    return health.get("eds_health_status", "HEALTHY") not in ("HEALTHY", "UNKNOWN", "DEGRADED") or any(
        value is True for name, value in health.items() if name.startswith("failed_")
    )


@check(
    "envoy-answers",
    "what came of asking, since Envoy was started: errors, answers that came too late, requests let through unasked",
)
async def envoy_answers(deployment: Deployment) -> Sequence[Said]:
    if deployment.envoy_admin is None:
        return []
    counts: dict[str, int] = {}
    for line in (await deployment.envoy("/stats?filter=ext_authz&usedonly")).text.splitlines():
        name, _, value = line.partition(": ")
        if "ext_authz" in name and value.isdecimal():
            last = name.rpartition(".")[2]
            counts[last] = counts.get(last, 0) + int(value)
    said = []
    if counts.get("failure_mode_allowed"):
        said.append(
            problem(
                f"{counts['failure_mode_allowed']} requests were let through without an answer",
                "write `failure_mode_allow: false`; see `envoy-configuration`",
            )
        )
    if counts.get("timeout"):
        do = "raise the filter's timeout, or see `store` and `server-metrics` for what is slow"
        said.append(warning(f"{counts['timeout']} answers came too late", do))
    errors = counts.get("error", 0) - counts.get("timeout", 0)
    if errors > 0:
        said.append(warning(f"{errors} questions were not answered", "see `envoy-cluster`; they may be over by now"))
    return said or [ok(f"{counts.get('ok', 0)} allowed, {counts.get('denied', 0)} denied, none without an answer")]


@check("envoy-certificates", "the certificates that Envoy has: none ends soon")
async def envoy_certificates(deployment: Deployment) -> Sequence[Said]:
    if deployment.envoy_admin is None:
        return []
    said: list[Said] = []
    for chain in (await _json(deployment, "/certs")).get("certificates", ()):
        for kind in ("ca_cert", "cert_chain"):
            for one in chain.get(kind, ()):
                until = datetime.fromisoformat(one["expiration_time"]).timestamp()
                where = one.get("path") or f"number {one.get('serial_number')}"
                said += lifetime(f"Envoy's certificate {where}", until, deployment.now())
    return said or [ok("none ends soon")]


@check("clock-envoy", "Envoy's clock against that of this machine")
async def clock_envoy(deployment: Deployment) -> Sequence[Said]:
    if deployment.envoy_admin is None:
        return []
    reply = await deployment.envoy("/server_info")
    return compared("Envoy", reply.headers.get("date"), reply.between)


async def _json(deployment: Deployment, path: str) -> dict[str, Any]:
    """An answer in JSON. Raises `NoAnswer`."""
    reply = await deployment.envoy(path)
    try:
        if reply.status == 200:
            return {**json.loads(reply.body)}
    except (ValueError, TypeError):
        pass
    raise NoAnswer(
        f"{deployment.envoy_admin}{path}: answers with {reply.status} and something else; is it an Envoy's address?"
    )


def _asked_clusters(tree: object) -> Iterator[str]:
    """The clusters that filters for extauthz ask, wherever they are in a configuration."""
    if isinstance(tree, dict):
        if _EXT_AUTHZ.search(str(tree.get("@type", ""))):
            yield from _named_in(tree)
        for value in tree.values():
            yield from _asked_clusters(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _asked_clusters(value)


def _named_in(config: dict[str, Any]) -> Iterator[str]:
    grpc = (config.get("grpc_service") or {}).get("envoy_grpc") or {}
    http = ((config.get("http_service") or {}).get("server_uri")) or {}
    yield from (str(name) for name in (grpc.get("cluster_name"), http.get("cluster")) if name)


def require_address(text: str, *, port: int) -> str:
    """An address of Envoy's, as it is asked: `http://host:port`, `host:port` or `unix:/path`.

    Raises `ConfigurationError` for anything else, with this `port` in an example.
    """
    if re.fullmatch(r"unix:/.+|(?:https?://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}/?", text) is None:
        raise ConfigurationError(f"`{text}` is no address; write `http://127.0.0.1:{port}` or `unix:/run/envoy.sock`")
    return text
