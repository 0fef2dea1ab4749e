"""Whom an approval asks, for the operator who looks into the store.

The rule: the store does not say, the rule in force does. So what is told is what the policies of the configuration say
now; where these are not to be had here, it is said that nobody knows.
"""

from typing import Any

import typer

from extauthz.approval.terms import Terms
from extauthz.approval.view import asked_object, needed_object
from extauthz.policy.approving import terms_of
from extauthz.policy.load import load
from extauthz.policy.problems import PolicyErrors
from extauthz.settings import Settings
from extauthz.values.approvals import Approval


def asking(settings: Settings, approval: Approval, *, now: float) -> dict[str, Any]:
    """What the rule wants of answers (`needed`) and whom it asks (`asked`), at `now` in seconds since the epoch.

    Both are `None` where nobody knows, which is told on standard error; a rule that is gone asks nobody.
    """
    try:
        terms = _terms(settings, approval.rule, now=now)
    except _Unknown as why:
        typer.echo(f"note: whom it asks is not known here: {why}", err=True)
        return {"needed": None, "asked": None}
    if terms is None:
        typer.echo(f"note: nobody can answer: there is no rule `{approval.rule}` any more", err=True)
        return {"needed": None, "asked": []}
    return {"needed": needed_object(terms), "asked": asked_object(terms, opened_at=approval.opened_at)}


def _terms(settings: Settings, rule: str, *, now: float) -> Terms | None:
    if settings.bundles:
        raise _Unknown("the policies come in bundles")
    try:
        policies = load([settings.base / path for path in settings.policies], declared=settings.declared)
    except PolicyErrors:
        raise _Unknown("the policies have errors; `extauthz policy check` tells them") from None
    return terms_of(policies, rule, now=now)


class _Unknown(Exception):
    """Why nobody knows."""
