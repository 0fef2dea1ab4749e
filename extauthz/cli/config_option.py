"""The option that names the configuration file, for the commands that need one."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_CONFIG: Final = Path("extauthz.yaml")

Config = Annotated[
    Path, typer.Option("--config", help="The configuration file.", envvar="EXTAUTHZ_CONFIG", dir_okay=False)
]
