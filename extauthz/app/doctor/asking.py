"""Checks that ask for a decision, as Envoy does and through Envoy. They are made only where somebody wants them.

The rule: what is asked is one GET of the path that was named, with no headers but those that were handed over, of
which nothing is told. It is decided, counted and recorded as every other request.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

import httpx
from google.protobuf.message import DecodeError

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.deployment import PATIENCE, Asking, Deployment, NoAnswer, apart, way_to
from extauthz.app.doctor.policies import REVISION_LENGTH
from extauthz.wire.compose import check_request
from extauthz.wire.sayable import DECISION_ID, METADATA

SLOW: Final = 0.1
"""Seconds of a decision that are told: half of what Envoy waits for one if nobody says otherwise."""
_AGENT: Final = "extauthz-doctor"


@check("server-decision", "with `--ask`: what the server decides, by which rule and revision, and how long it takes")
async def server_decision(deployment: Deployment) -> Sequence[Said]:
    asking = deployment.asking
    if asking is None:
        return []
    now = deployment.now()
    asked = check_request(
        scheme=asking.scheme,
        host=asking.host,
        path=asking.path,
        headers=_sent(asking),
        source_ip="127.0.0.1",
        time=(int(now), 0),
        id=f"{_AGENT}-{secrets.token_hex(8)}",
    )
    answer, took = await apart(lambda: asking.decide(asked))
    try:
        response = CheckResponse.FromString(answer)
    except DecodeError:
        response = CheckResponse()
    facts = response.dynamic_metadata.fields[METADATA].struct_value.fields
    decision, rule = facts["decision"].string_value, facts["rule"].string_value
    if not decision:
        return [
            problem("it answers with something that is no decision", "does another server listen at `listen.grpc`?")
        ]
    status = response.denied_response.status.code
    why = f" with {status} ({facts['reason'].string_value})" if status else ""
    by = f" by the rule `{rule}`" if rule else ""
    known_by = f"{facts['decision_id'].string_value} of {facts['revision'].string_value[:REVISION_LENGTH]}…"
    seen = f"{_named(asking)}: {decision}{why}{by}, within {took * 1000:.1f} ms, as {known_by}"
    if status >= 500:
        return [problem(seen, "see what the other checks say of the server and its store")]
    if took > SLOW:
        return [warning(seen, "see `store` and `server-metrics` for what is slow; Envoy waits 200 ms by default")]
    return [ok(seen)]


@check("envoy-decision", "with `--ask` and `--through`: whether a request through Envoy is decided by extauthz")
async def envoy_decision(deployment: Deployment) -> Sequence[Said]:
    asking = deployment.asking
    if asking is None or asking.through is None:
        return []
    status, decision_id, took = await _through(asking, asking.through)
    seen = f"{_named(asking)}: {status} within {took * 1000:.1f} ms"
    if decision_id is not None:
        return [ok(f"{seen}, decided as {decision_id}")]
    if status == 404:
        do = "name a URL that Envoy has a route for; otherwise see `envoy-configuration`"
    elif status >= 500:
        do = "see `envoy-cluster` and `envoy-answers`: Envoy gets no answer, or has nobody to send requests to"
    else:
        do = "see `envoy-configuration`: Envoy does not ask about this path, or lets through what it has no answer for"
    return [problem(f"{seen}, and without a decision of extauthz", do)]


def _sent(asking: Asking) -> Mapping[str, list[str]]:
    sent = {"user-agent": [_AGENT]}
    for name, value in asking.headers:
        sent.setdefault(name, []).append(value)
    return sent


def _named(asking: Asking) -> str:
    return f"GET {asking.scheme}://{asking.host}{asking.path}"


async def _through(asking: Asking, address: str) -> tuple[int, str | None, float]:
    """The status of the answer through Envoy, the id of the decision in it, and how many seconds it took."""
    url, transport = way_to(address)
    headers = [("host", asking.host), ("user-agent", _AGENT), *asking.headers]
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(PATIENCE),
            # Nothing secret leaves this machine, and the certificate is for another name than that of this address.
            httpx.AsyncClient(transport=transport, timeout=PATIENCE, trust_env=False, verify=False) as client,  # noqa: S501
            client.stream("GET", url + asking.path, headers=headers) as response,
        ):
            return response.status_code, response.headers.get(DECISION_ID), time.monotonic() - began
    except TimeoutError:
        raise NoAnswer(f"{address}: no answer within {PATIENCE:g} s; is it Envoy's address for requests?") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAnswer(
            f"{address}: no answer: {str(error).lower() or type(error).__name__}; is it Envoy's address for requests,"
            " and `http://` or `https://` right?"
        ) from None
