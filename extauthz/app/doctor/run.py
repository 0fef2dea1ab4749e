"""All checks, side by side."""

import asyncio
from collections.abc import Sequence
from typing import Final

from extauthz.app.doctor import asking, audits, envoy, files, issuers, policies, serving, stores
from extauthz.app.doctor.checks import LIMIT, Check, Line
from extauthz.app.doctor.deployment import Deployment
from extauthz.errors import ExtauthzError

CHECKS: Final[tuple[Check, ...]] = (
    serving.server_grpc,
    serving.server_web,
    serving.server_ready,
    serving.server_keys,
    serving.server_metrics,
    serving.server_compiled,
    asking.server_decision,
    policies.policies,
    policies.policy_expiry,
    policies.policy_revision,
    envoy.envoy,
    envoy.envoy_configuration,
    envoy.envoy_cluster,
    envoy.envoy_answers,
    envoy.envoy_certificates,
    asking.envoy_decision,
    stores.store,
    stores.store_sqlite,
    stores.store_redis,
    issuers.issuer_keys,
    issuers.collector,
    envoy.clock_envoy,
    stores.clock_store,
    issuers.clock_issuers,
    files.files,
    files.secrets,
    files.keys,
    files.certificates,
    files.addresses,
    files.disks,
    audits.audit,
)
"""In the order in which they are told."""


async def run(deployment: Deployment, checks: Sequence[Check] = CHECKS, *, limit: float = LIMIT) -> tuple[Line, ...]:
    """What all checks say, in their order. None takes longer than `limit` seconds."""
    try:
        found = await asyncio.gather(*(_said(one, deployment, limit) for one in checks))
    finally:
        await deployment.close()
    return tuple(line for lines in found for line in lines)


async def _said(one: Check, deployment: Deployment, limit: float) -> Sequence[Line]:
    try:
        async with asyncio.timeout(limit):
            said = await one.look(deployment)
    except TimeoutError:
        seen = f"no result within {limit:g} s"
        return [Line(check=one.id, verdict="problem", seen=seen, do="something does not answer; see the other lines")]
    except ExtauthzError as error:
        return [Line(check=one.id, verdict="problem", seen=" ".join(str(error).split()))]
    except Exception as error:  # noqa: BLE001 - one check that fails must not hide what the others found
        seen = f"the check failed: {type(error).__name__}: {error}"
        return [Line(check=one.id, verdict="problem", seen=seen, do="this is a mistake of ours; please report it")]
    return [Line(check=one.id, verdict=each.verdict, seen=each.seen, do=each.do) for each in said]
