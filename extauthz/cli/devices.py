"""`extauthz devices`: on which devices somebody has met challenges, and how to know them no more.

The rule: what a command says it has done is in the store that the servers follow; they know it within a second.
"""

import time
from typing import Annotated, Any

import typer

from extauthz.check.revocation_telling import tell_revoked
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.policy_options import print_json
from extauthz.cli.printable import printable
from extauthz.cli.state import Format, Issuer, anybody_of, called, changing_store, row, with_store
from extauthz.identity.revocations import Revocation, Revocations
from extauthz.record.chronicle import COMMAND, Chronicle
from extauthz.settings import Settings
from extauthz.store.devices import ListedDevice
from extauthz.store.protocol import Store
from extauthz.values.instant import instant

app = typer.Typer(name="devices", no_args_is_help=True, help="On which devices users have met challenges.")


@app.command("list", short_help="List the devices that are known.")
def list_(
    subject: Annotated[str | None, typer.Argument(metavar="SUBJECT", help="Only this subject's.")] = None,
    issuer: Issuer = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List the devices on which SUBJECT or anybody has met challenges, the latest last."""

    async def work(settings: Settings, store: Store) -> list[dict[str, Any]]:
        named = None if subject is None else anybody_of(settings, subject, issuer)
        now = time.time()
        revoked = Revocations(await store.revocations(None, now=now))
        return [_described(device, revoked, now) for device in await store.devices(named, now=now)]

    rows = with_store(config, work)
    if output == "json":
        print_json(rows)
        return
    for one in rows:
        cells = (one[name] for name in ("sub", "issuer", "id", "first", "last", "until"))
        typer.echo(row(*cells, "revoked" if one["revoked"] else "known", one["name"]))
    if not rows:
        typer.echo("no devices", err=True)


@app.command(short_help="Know devices of SUBJECT no more.")
def revoke(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The `sub` of the user's tokens, or a SPIFFE ID.")],
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help="The device with this id, for whoever has used it.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All devices that SUBJECT has used until now.")] = False,
    issuer: Issuer = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Know a device, or all devices of SUBJECT, no more until a challenge is met there again.

    A browser whose device was revoked by its id gets another one then.
    """
    if everything == (device is not None):
        raise typer.BadParameter("name a device with --device, as `extauthz devices list` shows it, or say --all")
    if device is not None and not device.strip():
        raise typer.BadParameter("has no name; write the id that `extauthz devices list` shows", param_hint="--device")

    async def work(settings: Settings, store: Store, chronicle: Chronicle) -> Revocation:
        named = anybody_of(settings, subject, issuer)
        now = time.time()
        revocation = (
            Revocation(kind="devices", subject=named, at=now)
            if device is None
            else Revocation(kind="device", subject=named, id=device, at=now)
        )
        revoked = (await store.put_revocation(revocation, now=now)).revocation
        tell_revoked(chronicle, revoked, by=COMMAND)
        return revoked

    revoked = changing_store(config, work)
    if output == "json":
        named = {"sub": revoked.subject.id, "issuer": revoked.subject.issuer}
        print_json({**named, "kind": revoked.kind, "id": revoked.id, "at": instant(revoked.at)})
        return
    what = f"device `{device}`" if device is not None else f"all devices until {instant(revoked.at)}"
    typer.echo(printable(f"{called(revoked.subject)}: revoked {what}"))


def _described(device: ListedDevice, revoked: Revocations, now: float) -> dict[str, Any]:
    return {
        "sub": device.subject.id,
        "issuer": device.subject.issuer,
        "id": device.id,
        "name": device.name,
        "first": instant(device.first_at),
        "last": instant(device.proven_at),
        "until": instant(device.until),
        "revoked": revoked.has_device(device.id, device.subject, proven_at=device.proven_at, now=now),
    }
