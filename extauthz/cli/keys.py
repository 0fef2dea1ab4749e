"""`extauthz keys`: the key file.

The rules: it is readable by its owner only, appears whole or not at all, and a key that was in use is never lost to a
command that meant to make one.
"""

from pathlib import Path
from typing import Annotated

import typer

from extauthz.app.key_file import add_key, make_keys
from extauthz.cli.policy_options import Format, FormatOption, print_json
from extauthz.stepup.keys import KeyRing

app = typer.Typer(name="keys", no_args_is_help=True, help="Keys that sign tickets, bind proofs and seal secrets.")

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The key file.", dir_okay=False)]
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
    _tell(file, ring, output, f"made with key `{ring.newest.kid}`")


@app.command(short_help="Add a key, which is the newest.")
def rotate(file: KeyFile = _DEFAULT_FILE, output: FormatOption = "text") -> None:
    """Add a key, which is from now on the newest; what older ones made stays good. Restart the servers after it."""
    ring = add_key(file)
    _tell(file, ring, output, f"key `{ring.newest.kid}` is the newest of {len(ring.keys)}")


def _tell(file: Path, ring: KeyRing, output: Format, said: str) -> None:
    if output == "json":
        print_json({"file": str(file), "newest": ring.newest.kid, "keys": len(ring.keys)})
    else:
        typer.echo(f"{file}: {said}")
