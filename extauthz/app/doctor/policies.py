"""Checks of the policies: those on disk, and whether they are those in force."""

from collections.abc import Sequence
from typing import Final

from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.deployment import Deployment
from extauthz.app.doctor.serving import report
from extauthz.policy.problems import PolicyErrors
from extauthz.values.counting import counted
from extauthz.values.instant import instant

_SHOWN: Final = 5
"""Warnings and errors that are told one by one."""
REVISION_LENGTH: Final = 19
"""Characters of a revision that are shown."""
_SOON: Final = 14 * 86_400.0
"""Seconds before its end that a rule is told of."""


@check("policies", "the policies on disk: errors, and what `extauthz policy check` warns of")
async def policies(deployment: Deployment) -> Sequence[Said]:
    if not deployment.settings.policies:
        return []
    try:
        loaded, findings = await deployment.policies()
    except PolicyErrors as error:
        said = [
            problem(f"{one.file}:{one.line}:{one.column}: {one.message}", one.hint or "mend it")
            for one in error.problems[:_SHOWN]
        ]
        more = len(error.problems) - _SHOWN
        return [*said, problem(f"and {more} more", "`extauthz policy check` shows all")] if more > 0 else said
    said = [
        warning(f"{one.problem.file}:{one.problem.line}: {one.problem.message}", one.problem.hint or "look at the rule")
        for one in findings[:_SHOWN]
    ]
    if len(findings) > _SHOWN:
        said.append(warning(f"and {len(findings) - _SHOWN} more", "`extauthz policy check` shows all"))
    return said or [ok(f"{counted(len(loaded.rules), 'rule')} without a warning")]


@check("policy-expiry", "rules that end within two weeks")
async def policy_expiry(deployment: Deployment) -> Sequence[Said]:
    if not deployment.settings.policies:
        return []
    try:
        loaded, _ = await deployment.policies()
    except PolicyErrors:
        return []  # `policies` tells it
    now = deployment.now()
    ending = [one for one in loaded.rules if one.expires is not None and now < one.expires < now + _SOON]
    return [
        warning(f"the rule `{one.name}` ends at {instant(int(one.expires or 0))}", "renew its `expires`, or remove it")
        for one in ending
    ] or [ok("no rule ends soon")]


@check(
    "policy-revision", "whether the server decides by the policies on disk, or refuses them, or has not read them yet"
)
async def policy_revision(deployment: Deployment) -> Sequence[Said]:
    _, content = await report(deployment)
    if (refused := content.get("reload_error")) is not None:
        first = str(refused).partition("\n")[0]
        return [problem(f"it refuses the newest policies: {first}", "mend them; those before are still in force")]
    served = str(content.get("revision"))
    if deployment.settings.bundles:
        return [ok(f"decides by {served[:REVISION_LENGTH]}…; bundles are not compared")]
    try:
        loaded, _ = await deployment.policies()
    except PolicyErrors:
        return [ok(f"decides by {served[:REVISION_LENGTH]}…, which was good")]
    if loaded.revision == served:
        return [ok(f"decides by {served[:REVISION_LENGTH]}…, as on disk")]
    do = "send it SIGHUP, or wait a moment if they were changed just now"
    return [
        problem(f"it decides by {served[:REVISION_LENGTH]}…, and on disk is {loaded.revision[:REVISION_LENGTH]}…", do)
    ]
