"""`extauthz factors`: the second factors of users, for whoever runs the server.

The rule: a factor that a person sets up counts from its first right code on, so that a QR code that nobody scanned
locks nobody out. A program that asks for JSON takes the secret from the answer, so its factor counts at once. With
`--link` the person sets it up alone, on the enrolment page, and no secret passes through here.
"""

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import segno
import typer

from extauthz.app.wiring import load_keys
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.state import Format, Issuer, called, changing_store, link_seconds, row, subject_of, with_store
from extauthz.errors import ExtauthzError
from extauthz.record.chronicle import COMMAND, SILENT, Chronicle
from extauthz.record.life import Detail, LifeKind
from extauthz.settings import Settings
from extauthz.stepup.enrolment import LONGEST_INVITATION, invite, page_of
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.lockout import limits_of
from extauthz.stepup.totp import SECRET_BYTES, provisioning_uri, verify
from extauthz.store.factor_secret import open_factor, seal_factor
from extauthz.store.protocol import Advance, Changed, EnrolledFactor, Enrolment, Ground, Store
from extauthz.values.counting import counted
from extauthz.values.identity import Subject
from extauthz.values.instant import instant

app = typer.Typer(name="factors", no_args_is_help=True, help="Second factors of users.")

_DENSE = 200
"""Characters from which a QR code carries less redundancy, so that it fits a terminal."""
_FIRST = Ground()
"""Whoever runs the server may set up a first factor, and no second one beside it."""
_PROMPTS = 3
"""How many wrong first codes are put up with at a terminal."""

Say = Callable[[], None]
"""Says what was done, once that is recorded."""

UserName = Annotated[str, typer.Argument(metavar="USER", help="The `sub` of the user's tokens.")]


class FactorRefused(ExtauthzError):
    """A factor can't be set up like this; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What the commands work on: an open store, the keys, and the configuration behind them."""

    settings: Settings
    store: Store
    keys: KeyRing
    chronicle: Chronicle = SILENT

    def tell(self, kind: LifeKind, subject: Subject, factor: str | None = None, **details: Detail) -> None:
        """Something was done to the subject's factors."""
        self.chronicle.tell(kind, subject=subject, by=COMMAND, factor=factor, details=details)

    def subject(self, user: str, issuer: str | None) -> Subject:
        """The user at that issuer, or at the only one."""
        return subject_of(self.settings, user, issuer)


@app.command(short_help="Set up an authenticator app for USER.")
def enroll(
    user: UserName,
    issuer: Issuer = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="CODE", help="Confirm the app that was set up last.")
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Print a link to the page on which USER sets up a factor alone.")
    ] = False,
    valid_for: Annotated[
        str, typer.Option("--valid-for", metavar="DURATION", help="How long the link can be begun with, up to 7d.")
    ] = "24h",
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Where the application is, for --link.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Set up an authenticator app for USER: prints its address and a QR code, and asks for a first code."""
    if link and confirm is not None:
        raise typer.BadParameter("is another way than --confirm; use one of them", param_hint="--link")
    if not link and base_url is not None:
        raise typer.BadParameter("belongs to --link; add it", param_hint="--base-url")

    async def work(desk: _Desk) -> Say:
        subject = desk.subject(user, issuer)
        if link:
            _print_link(desk, subject, base_url, link_seconds(valid_for, longest=LONGEST_INVITATION), output)
            return _nothing
        if confirm is not None:
            return partial(_report_confirmed, await _confirm(desk, subject, confirm), output)
        secret = os.urandom(SECRET_BYTES)
        factor = await _add(desk, subject, secret, confirmed=output == "json")
        uri = provisioning_uri(secret, account=user, issuer=urlsplit(subject.issuer).hostname or subject.issuer)
        if output == "json":
            return partial(typer.echo, json.dumps(_described(factor) | {"uri": uri}))
        _print_address(uri)
        if sys.stdin.isatty():
            return partial(_report_confirmed, await _ask_for_first_code(desk, subject), "text")
        return partial(
            typer.echo, f"Not in force yet: confirm it with `extauthz factors enroll {user} --confirm CODE`."
        )

    _change(config, work)


@app.command("list")
def list_(
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Only this user's.")] = None,
    issuer: Issuer = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List the factors of USER, or of everybody."""

    async def work(desk: _Desk) -> None:
        subject = desk.subject(user, issuer) if user is not None else None
        rows = _rows(await desk.store.factors(subject))
        if output == "json":
            typer.echo(json.dumps(rows))
            return
        for one in rows:
            state = f"{one['left']} left" if "left" in one else "in force" if one["confirmed"] else "not confirmed"
            typer.echo(
                row(
                    one["sub"], one["issuer"], one["factor"], state, one["created"], one["id"] or "-", one["name"]
                ).rstrip()
            )
        if not rows:
            typer.echo("no factors", err=True)

    _run(config, work)


@app.command(short_help="Remove all factors of USER.")
def reset(user: UserName, issuer: Issuer = None, config: Config = DEFAULT_CONFIG, output: Format = "text") -> None:
    """Remove all factors of USER, end what they proved and links to set up others, and lift a lock-out."""

    async def work(desk: _Desk) -> Say:
        subject = desk.subject(user, issuer)
        removed = await desk.store.reset_factors(subject, limits_of(subject, ""), now=time.time())
        desk.tell("factor.reset", subject, removed=removed)
        if output == "json":
            return partial(typer.echo, json.dumps({"sub": subject.id, "issuer": subject.issuer, "removed": removed}))
        had = f"removed {counted(removed, 'factor')}, counting each recovery code" if removed else "had no factor"
        void = "what they proved and links to set up others are void, and no lock-out is left"
        return partial(typer.echo, f"{called(subject)}: {had}; {void}")

    _change(config, work)


def _run(config: Path, work: Callable[[_Desk], Awaitable[None]]) -> None:
    async def at_desk(settings: Settings, store: Store) -> None:
        await work(_Desk(settings=settings, store=store, keys=load_keys(settings)))

    with_store(config, at_desk)


def _change(config: Path, work: Callable[[_Desk], Awaitable[Say]]) -> None:
    """As `_run`, of what changes something: it is recorded, and then said."""

    async def at_desk(settings: Settings, store: Store, chronicle: Chronicle) -> Say:
        return await work(_Desk(settings=settings, store=store, keys=load_keys(settings), chronicle=chronicle))

    changing_store(config, at_desk)()


def _nothing() -> None:
    """What is said of what was not done."""


def _print_link(
    desk: _Desk, subject: Subject, base_url: str | None, valid_for: float, output: Literal["text", "json"]
) -> None:
    base = _origin(desk.settings, base_url)
    now = time.time()
    expires_at = now + valid_for
    text = invite(
        subject, grounds="administrator", issued_at=now, expires_at=expires_at, keys=desk.keys, entropy=os.urandom
    )
    address = base + page_of(text)
    if output == "json":
        row = {"sub": subject.id, "issuer": subject.issuer, "link": address, "expires": instant(expires_at)}
        typer.echo(json.dumps(row))
        return
    _print_address(address)
    typer.echo(f"Good once, until {instant(expires_at)}. Give it to `{subject.id}` and to nobody else.", err=True)


def _origin(settings: Settings, base_url: str | None) -> str:
    """Where the pages are: the application's own origin, which may be known as the one that asks for keys."""
    if base_url is None:
        party = settings.stepup.webauthn
        if party is not None and len(party.origins) == 1:
            return party.origins[0]
        raise typer.BadParameter(
            "needs --base-url: where the application is, like `https://app.example.com`", param_hint="--link"
        )
    try:
        parts = urlsplit(base_url)
        well_formed = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    origin = base_url.removesuffix("/")
    if not well_formed or origin != f"https://{parts.netloc}" or "@" in origin or not origin.isascii():
        raise typer.BadParameter(
            f"`{base_url}` is no origin; write `https://app.example.com`, and no path", param_hint="--base-url"
        )
    return origin


def _print_address(address: str) -> None:
    """An address, and for a phone before a terminal its QR code."""
    typer.echo(address)
    if sys.stdout.isatty():
        segno.make(address, error="m" if len(address) < _DENSE else "l").terminal(compact=True)


async def _add(desk: _Desk, subject: Subject, secret: bytes, *, confirmed: bool) -> EnrolledFactor:
    """A new factor in the place of those that were never confirmed."""
    now = time.time()
    made = seal_factor(secret, subject=subject, confirmed=confirmed, keys=desk.keys, now=now, entropy=os.urandom)
    enrolled = await desk.store.enroll(Enrolment(subject=subject, factors=(made,), ground=_FIRST), now=now)
    if enrolled is not Changed.DONE:
        raise _has_one(subject)
    if confirmed:
        desk.tell("factor.enrolled", subject, made.kind, id=made.id)
    return made


def _has_one(subject: Subject) -> FactorRefused:
    return FactorRefused(
        f"`{subject.id}`: has a second factor already; `extauthz factors reset {subject.id}` removes it"
    )


async def _confirm(desk: _Desk, subject: Subject, code: str) -> EnrolledFactor:
    factors = await desk.store.factors(subject)
    # One that waits on the enrolment page, for an invitation, is confirmed there, together with its link.
    pending = [factor for factor in factors if factor.kind == "totp" and not factor.confirmed and not factor.public]
    if not pending:
        raise FactorRefused(f"`{subject.id}`: nothing to confirm; set up an app with `extauthz factors enroll` first")
    now = time.time()
    for factor in pending:
        step = verify(open_factor(factor, desk.keys), code, now)
        if step is not None:
            burn = Advance(factor=factor.id, mark=step)
            confirmed = await desk.store.confirm_factor(subject, burn, now=now, ground=_FIRST)
            if confirmed is Changed.NOT_FIRST:
                raise _has_one(subject)
            if confirmed is Changed.DONE:
                desk.tell("factor.enrolled", subject, factor.kind, id=factor.id)
                return factor
    raise FactorRefused(f"`{subject.id}`: the code is not right; enter the six digits that the app shows now")


async def _ask_for_first_code(desk: _Desk, subject: Subject) -> EnrolledFactor:
    for left in range(_PROMPTS - 1, -1, -1):
        code = typer.prompt("First code").strip()
        try:
            return await _confirm(desk, subject, code)
        except FactorRefused as error:
            if left == 0:
                raise
            typer.echo(str(error), err=True)
    raise AssertionError("the last one that is wrong is raised")


def _report_confirmed(factor: EnrolledFactor, output: Literal["text", "json"]) -> None:
    if output == "json":
        typer.echo(json.dumps(_described(factor) | {"confirmed": True}))
    else:
        typer.echo("Confirmed: it is in force.")


def _rows(factors: Sequence[EnrolledFactor]) -> list[dict[str, Any]]:
    """One row for each factor, oldest first; the recovery codes of a subject are one, with how many are `left`."""
    rows: list[dict[str, Any]] = []
    codes: dict[Subject, dict[str, Any]] = {}
    for factor in factors:
        if factor.kind != "recovery":
            rows.append(_described(factor))
        elif factor.subject in codes:
            codes[factor.subject]["left"] += 1
        else:
            codes[factor.subject] = _described(factor) | {"id": None, "left": 1}
            rows.append(codes[factor.subject])
    return rows


def _described(factor: EnrolledFactor) -> dict[str, Any]:
    return {
        "id": factor.id,
        "sub": factor.subject.id,
        "issuer": factor.subject.issuer,
        "factor": factor.kind,
        "name": factor.name,
        "confirmed": factor.confirmed,
        "created": instant(factor.created_at),
    }
