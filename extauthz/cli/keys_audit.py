"""`extauthz keys audit`: the public keys that whoever checks the audit needs, and nothing secret."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from extauthz.app.key_file import read_keys
from extauthz.cli.policy_options import print_json
from extauthz.record.audit_keys import public_keys


def audit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The key file, `keys` in the configuration.", dir_okay=False)
    ] = Path("keys.json"),
) -> None:
    """Print the public keys of the audit's signatures, as a JWK Set: for `extauthz audit verify --key`.

    Keep what it prints: a key that is pruned takes its public half with it.
    """
    print_json(msgspec.to_builtins(public_keys(read_keys(file))))
