"""`extauthz grants`: what has been proven and still counts, and how to end it.

The rule: what is revoked is gone from the store when the command says so; the next decision rests on it no more.
"""

import re
import time
from typing import Annotated, Any

import typer

from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.policy_options import print_json
from extauthz.cli.state import Format, Issuer, anybody_of, changing_store, issuer_of, row, with_store
from extauthz.identity.holders import session_of_sid
from extauthz.record.chronicle import COMMAND, Chronicle
from extauthz.record.session_hash import session_hash
from extauthz.settings import Settings
from extauthz.store.protocol import Selection, Store
from extauthz.values.counting import counted
from extauthz.values.grants import Grant
from extauthz.values.instant import instant

app = typer.Typer(name="grants", no_args_is_help=True, help="What users and workloads have proven.")

_SESSION = re.compile("(?:sid|cookie|token):[0-9a-f]{64}")

Who = Annotated[
    str | None, typer.Option("--subject", metavar="SUBJECT", help="The `sub` of the user's tokens, or a SPIFFE ID.")
]
In = Annotated[
    str | None, typer.Option("--session", metavar="SESSION", help="The `sid` of the tokens, or as `list` shows it.")
]
For = Annotated[str | None, typer.Option("--rule", metavar="POLICY/RULE", help="The rule that asked for the proof.")]


@app.command("list", short_help="List what has been proven.")
def list_(
    subject: Who = None,
    issuer: Issuer = None,
    session: In = None,
    rule: For = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List the grants that count: all of them, or those of SUBJECT, in SESSION, for a rule; oldest first."""

    async def work(settings: Settings, store: Store) -> tuple[Grant, ...]:
        return await store.grants(_selection(settings, subject, issuer, session, rule), now=time.time())

    rows = [_described(grant) for grant in with_store(config, work)]
    if output == "json":
        print_json(rows)
        return
    for one in rows:
        uses = "any" if one["uses"] is None else one["uses"]
        cells = (one[name] for name in ("sub", "issuer", "rule", "factor", "issued", "expires"))
        typer.echo(row(*cells, uses, one["session"]))
    if not rows:
        typer.echo("no grants", err=True)


@app.command(short_help="End what has been proven.")
def revoke(
    subject: Who = None,
    issuer: Issuer = None,
    session: In = None,
    rule: For = None,
    everything: Annotated[bool, typer.Option("--all", help="All grants of everybody.")] = False,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """End the grants of SUBJECT, in SESSION, for a rule; of several that are named, those that are all of it."""
    if everything == any(named is not None for named in (subject, session, rule)):
        raise typer.BadParameter("say what to revoke: name some of --subject, --session and --rule, or --all alone")

    async def work(settings: Settings, store: Store, chronicle: Chronicle) -> int:
        selection = _selection(settings, subject, issuer, session, rule)
        revoked = await store.revoke(selection, now=time.time())
        if revoked:
            where = {} if selection.session is None else {"session": session_hash(selection.session)}
            chronicle.tell(
                "grant.revoked",
                subject=selection.subject,
                by=COMMAND,
                rule=selection.rule,
                details={"grants": revoked, **where},
            )
        return revoked

    revoked = changing_store(config, work)
    if output == "json":
        print_json({"revoked": revoked})
    else:
        typer.echo(f"revoked {counted(revoked, 'grant')}")


def _selection(
    settings: Settings, subject: str | None, issuer: str | None, session: str | None, rule: str | None
) -> Selection:
    named = None if subject is None else anybody_of(settings, subject, issuer)
    if session is not None and not _SESSION.fullmatch(session):
        if not session.strip():
            raise typer.BadParameter(
                "has no name; write the claim `sid`, or what `extauthz grants list` shows", param_hint="--session"
            )
        known_by = issuer if named is None else named.issuer
        session = session_of_sid(issuer_of(settings, known_by, of=session), session)
    elif named is None and issuer is not None:
        raise typer.BadParameter("says whose subject or `sid` it is; name one of them", param_hint="--issuer")
    if rule is not None and rule.count("/") != 1:
        raise typer.BadParameter(f"`{rule}` is no name of a rule; write `POLICY/RULE`", param_hint="--rule")
    return Selection(subject=named, session=session, rule=rule)


def _described(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "sub": grant.subject.id,
        "issuer": grant.subject.issuer,
        "session": grant.session,
        "holder": grant.holder,
        "rule": grant.rule,
        "binding": grant.binding,
        "factor": grant.factor,
        "issued": instant(grant.issued_at),
        "expires": instant(grant.expires_at),
        "uses": grant.uses,
    }
