"""`extauthz approvals link`: a link with which somebody logs in at the approvers' pages without their provider.

The rule: whoever runs the server says who that is. The link is good once, and it is a key: it is for one person's eyes.
"""

import json
import os
import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from extauthz.app.wiring import load_keys
from extauthz.approval.persons import person_named
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.state import Format, link_seconds
from extauthz.errors import ExtauthzError
from extauthz.settings import Settings, load_settings
from extauthz.stepup.approver_login import LINK_PATH, LONGEST_LINK, make_link
from extauthz.values.approvals import ON_CALL
from extauthz.values.identity import Subject
from extauthz.values.instant import instant


class LinkRefused(ExtauthzError):
    """There is no such link; the message says what to do."""


def link(
    sub: Annotated[str, typer.Argument(metavar="SUB", help="The `sub` by which the approvers' issuer knows them.")],
    person: Annotated[
        str, typer.Option("--person", metavar="NAME", help="Who that is, as `approvals.persons` knows people.")
    ],
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="A group that they answer for; may be repeated."),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="The approvers' issuer, where none is configured.")
    ] = None,
    valid_for: Annotated[
        str, typer.Option("--valid-for", metavar="DURATION", help="How long the link can be used, up to 7d.")
    ] = "1h",
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Print a link with which SUB logs in once at the approvers' pages, as NAME and for these groups."""
    settings = load_settings(config)
    if settings.approvals.url is None:
        raise LinkRefused(f"{config}: `approvals.url` is missing; write where the approvers' pages are")
    named = person_named(person)
    if named is None:
        raise typer.BadParameter("names nobody; write them as `approvals.persons` knows people", param_hint="--person")
    groups = tuple(group or ())
    for one in groups:
        if one.startswith(ON_CALL):
            raise typer.BadParameter(
                f"`{one}`: who is on call is said by `approvals.schedules`; remove it", param_hint="--group"
            )
    now = time.time()
    expires_at = now + link_seconds(valid_for, longest=LONGEST_LINK)
    subject = Subject(_issuer(settings, issuer), sub)
    text = make_link(
        subject,
        person=named,
        groups=groups,
        issued_at=now,
        expires_at=expires_at,
        keys=load_keys(settings),
        entropy=os.urandom,
    )
    address = f"{settings.approvals.url}{LINK_PATH}?{urlencode({'link': text})}"
    if output == "json":
        row = {"sub": sub, "issuer": subject.issuer, "person": named, "groups": groups}
        typer.echo(json.dumps(row | {"link": address, "expires": instant(expires_at)}))
        return
    typer.echo(address)
    typer.echo(f"Good once, until {instant(expires_at)}. Give it to `{named}` and to nobody else.", err=True)


def _issuer(settings: Settings, given: str | None) -> str:
    """Whose subject it is: the issuer of approvers, so that blocks and factors are those of their own login."""
    login, tokens = settings.approvals.login, settings.approvals.tokens
    known = {one.issuer for one in (login, tokens) if one is not None}
    if not known and given is None:
        raise typer.BadParameter(
            "name it: neither `approvals.login` nor `approvals.tokens` says who knows approvers", param_hint="--issuer"
        )
    if given is not None and known and given not in known:
        raise typer.BadParameter(
            f"`{given}` is not the issuer of approvers, `{min(known)}`; leave it out", param_hint="--issuer"
        )
    return given or min(known)
