"""`extauthz keys`: the key file.

The rules: it is readable by its owner only, appears whole or not at all, and a key that was in use is never lost to a
command that meant to make one, nor a key that is needed to one that meant to tidy up.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from extauthz.app.command_records import command_records
from extauthz.app.key_file import add_key, make_keys, read_keys, remove_keys
from extauthz.app.key_following import tell_changed
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.keys_audit import audit
from extauthz.cli.policy_options import FormatOption, print_json
from extauthz.cli.state import changing_store
from extauthz.record.chronicle import COMMAND, Chronicle
from extauthz.settings import Settings, load_settings
from extauthz.stepup.keys import Key, idle_keys
from extauthz.store.protocol import Store
from extauthz.values.duration import seconds
from extauthz.values.instant import instant

app = typer.Typer(name="keys", no_args_is_help=True, help="Keys that sign tickets, bind proofs and seal secrets.")
app.command(short_help="Print the public keys of the audit's signatures.")(audit)

KeyFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The key file, `keys` in the configuration.", dir_okay=False)
]
_DEFAULT_FILE = Path("keys.json")


@app.command()
def generate(
    file: KeyFile = _DEFAULT_FILE,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file: every factor and proof made with it is lost.")
    ] = False,
    output: FormatOption = "text",
) -> None:
    """Make a key file with one key."""
    ring = make_keys(file, replace=overwrite)
    if output == "json":
        print_json({"file": str(file), "key": ring.newest.kid})
    else:
        typer.echo(f"{file}: made with key `{ring.newest.kid}`")


@app.command(short_help="Add a key, which makes from a moment on.")
def rotate(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The key file; that of --config, or `keys.json`.", dir_okay=False),
    ] = None,
    after: Annotated[
        str,
        typer.Option(metavar="DURATION", help="How soon it makes: when all servers have the file. `0s` after a leak."),
    ] = "5m",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="The configuration whose audit records it.", envvar="EXTAUTHZ_CONFIG", dir_okay=False
        ),
    ] = None,
    output: FormatOption = "text",
) -> None:
    """Add a key; what older ones made stays good. Running servers read the file by themselves.

    Without a configuration nothing records it but the servers that read the file.
    """
    soon = _seconds(after, "--after")
    if config is None:
        file = _DEFAULT_FILE if file is None else file
        key = add_key(file, after=soon)
    else:
        settings = load_settings(config)
        file = settings.keys_path if file is None else file
        with command_records(settings) as chronicle:
            key = add_key(file, after=soon)
            tell_changed(chronicle, read_keys(file), by=COMMAND)
    if output == "json":
        print_json({"file": str(file), "key": key.kid, "makes_from": key.makes_from})
    else:
        typer.echo(f"{file}: key `{key.kid}` makes from {instant(key.makes_from)} on")


@app.command(short_help="Remove keys that nothing needs any more.")
def prune(
    config: Config = DEFAULT_CONFIG,
    unused_for: Annotated[str, typer.Option(metavar="DURATION", help="How long a key must have made nothing.")] = "30d",
    output: FormatOption = "text",
) -> None:
    """Remove keys that make nothing any more and that no secret in the store needs."""
    since = time.time() - _seconds(unused_for, "--unused-for")

    async def removed(settings: Settings, store: Store, chronicle: Chronicle) -> tuple[Path, tuple[Key, ...]]:
        file = settings.keys_path
        sealed = tuple(one.sealed for one in await store.factors(None) if one.sealed)
        idle = tuple(idle_keys(read_keys(file), sealed, since=since))
        if idle:
            tell_changed(chronicle, remove_keys(file, {key.kid for key in idle}), by=COMMAND)
        return file, idle

    file, idle = changing_store(config, removed)
    left = len(read_keys(file).keys)
    if output == "json":
        print_json({"file": str(file), "removed": [key.kid for key in idle], "keys": left})
        return
    for key in idle:
        typer.echo(f"{file}: key `{key.kid}` is removed")
    typer.echo(f"{file}: {left} left")


def _seconds(text: str, option: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
