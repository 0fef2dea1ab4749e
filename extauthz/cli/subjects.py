"""`extauthz subjects`: who is blocked, and what counts no more of what was issued to them.

The rule: what a command says it has done is in the store that the servers follow; they know it within a second.
"""

import re
import time
from math import inf, isinf
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from extauthz.cli.policy_options import print_json
from extauthz.cli.policy_trace import printable
from extauthz.cli.state import DEFAULT_CONFIG, Config, Format, Issuer, anybody_of, called, instant, row, with_store
from extauthz.errors import ExtauthzError
from extauthz.identity.compact import Unreadable, take_apart
from extauthz.identity.revocations import DIGEST_PREFIX, Kind, Revocation
from extauthz.settings import Settings
from extauthz.store.protocol import Store
from extauthz.store.revocations import Revoked
from extauthz.values.counting import counted
from extauthz.values.duration import seconds
from extauthz.values.identity import Subject

app = typer.Typer(name="subjects", no_args_is_help=True, help="Block users and workloads, revoke what they were given.")

_DIGEST = re.compile(DIGEST_PREFIX + "[0-9a-f]{64}")
_LONGEST = 100 * 365 * 86_400.0

Named = Annotated[str, typer.Argument(metavar="SUBJECT", help="The `sub` of the user's tokens, or a SPIFFE ID.")]
For = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="How long it holds, say `30m`; without it for ever.")
]


class SubjectsRefused(ExtauthzError):
    """It can't be revoked like this; the message says what to do."""


@app.command(short_help="Refuse every request of SUBJECT.")
def block(
    subject: Named,
    issuer: Issuer = None,
    duration: For = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Refuse every request of SUBJECT, and every token in which it is an actor, until it is unblocked."""
    revoked = _put(config, "block", subject, issuer, "", duration)
    _report(revoked, f"blocked{_until(revoked.revocation)}", output)


@app.command()
def unblock(subject: Named, issuer: Issuer = None, config: Config = DEFAULT_CONFIG, output: Format = "text") -> None:
    """End a block. What was revoked stays revoked."""

    async def work(settings: Settings, store: Store) -> tuple[Subject, bool]:
        named = anybody_of(settings, subject, issuer)
        now = time.time()
        return named, await store.withdraw_revocation(Revocation(kind="block", subject=named, at=now).key, now=now)

    named, was_blocked = with_store(config, work)
    if output == "json":
        print_json({"sub": named.id, "issuer": named.issuer, "was_blocked": was_blocked})
    else:
        typer.echo(f"{called(named)}: {'unblocked' if was_blocked else 'was not blocked'}")


@app.command(short_help="Refuse the tokens that SUBJECT was given.")
def revoke(
    subject: Named,
    issuer: Issuer = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="SID", help="Only the session with this `sid`.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="JTI", help="Only the token with this `jti`, or `sha256:` and its digest."),
    ] = None,
    duration: For = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Refuse the tokens that SUBJECT was given until now, and forget what was proven with them."""
    if session is not None and token is not None:
        raise SubjectsRefused("`--session` and `--token` are two things; revoke one after the other")
    if session is not None:
        revoked = _put(config, "session", subject, issuer, session, duration)
        what = f"session `{session}`"
    elif token is not None:
        revoked = _put(config, "token", subject, issuer, _token_id(token), duration)
        what = f"token `{token}`"
    else:
        revoked = _put(config, "tokens", subject, issuer, "", duration)
        what = f"what was issued until {instant(revoked.revocation.at)}"
    void = f"; {counted(revoked.grants, 'grant')} void" if revoked.revocation.voids_grants else ""
    _report(revoked, f"revoked {what}{_until(revoked.revocation)}{void}", output)


@app.command("list", short_help="List what is blocked and revoked.")
def list_(
    subject: Annotated[str | None, typer.Argument(metavar="SUBJECT", help="Only this subject's.")] = None,
    issuer: Issuer = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List what is blocked and revoked, of SUBJECT or of everybody, oldest first."""

    async def work(settings: Settings, store: Store) -> tuple[Revocation, ...]:
        named = None if subject is None else anybody_of(settings, subject, issuer)
        return await store.revocations(named, now=time.time())

    rows = [_described(revocation) for revocation in with_store(config, work)]
    if output == "json":
        print_json(rows)
        return
    for one in rows:
        cells = (one[name] for name in ("sub", "issuer", "kind", "id", "at"))
        typer.echo(row(*cells, one["until"] or "for ever"))
    if not rows:
        typer.echo("nothing is revoked", err=True)


def _put(config: Path, kind: Kind, subject: str, issuer: str | None, id_: str, duration: str | None) -> Revoked:
    lasts = inf if duration is None else _seconds(duration)
    if kind in ("session", "token") and not id_.strip():
        raise SubjectsRefused(f"--{kind}: has no name; write the claim `{'sid' if kind == 'session' else 'jti'}`")

    async def work(settings: Settings, store: Store) -> Revoked:
        named = anybody_of(settings, subject, issuer)
        now = time.time()
        return await store.put_revocation(
            Revocation(kind=kind, subject=named, id=id_, at=now, until=now + lasts), now=now
        )

    return with_store(config, work)


def _seconds(duration: str) -> float:
    try:
        lasts = seconds(duration)
    except ValueError as error:
        raise SubjectsRefused(f"--for: `{duration}` is {error}") from None
    if not 0 < lasts <= _LONGEST:
        raise SubjectsRefused(f"--for: `{duration}` is no time that people live to see; leave it out for ever")
    return lasts


def _token_id(token: str) -> str:
    if token.startswith(DIGEST_PREFIX) and not _DIGEST.fullmatch(token):
        raise SubjectsRefused(f"--token: `{token}` is no digest; write `sha256:` and 64 digits of lower-case hex")
    try:
        parts = take_apart(token.removeprefix("Bearer "))
    except Unreadable:
        return token
    # Not said again: whoever reads it could use it.
    raise SubjectsRefused(f"--token: is a token, not its `jti`; write that, or `{DIGEST_PREFIX}{parts.digest}`")


def _until(revocation: Revocation) -> str:
    return "" if isinf(revocation.until) else f", in force until {instant(revocation.until)}"


def _report(revoked: Revoked, text: str, output: Literal["text", "json"]) -> None:
    if output == "json":
        print_json(_described(revoked.revocation) | {"grants": revoked.grants})
    else:
        typer.echo(printable(f"{called(revoked.revocation.subject)}: {text}"))


def _described(revocation: Revocation) -> dict[str, Any]:
    return {
        "sub": revocation.subject.id,
        "issuer": revocation.subject.issuer,
        "kind": revocation.kind,
        "id": revocation.id,
        "at": instant(revocation.at),
        "until": None if isinf(revocation.until) else instant(revocation.until),
    }
