"""`extauthz envoy …`: Envoy's side of it. The commands are registered here; each has a module of its own."""

import typer

from extauthz.cli.envoy_config import config
from extauthz.cli.envoy_validate import validate

app = typer.Typer(help="Write Envoy's configuration, and judge it.", no_args_is_help=True)
app.command("config", short_help="Write Envoy's configuration.")(config)
app.command("validate", short_help="Tell what is unsafe in Envoy's configuration.")(validate)
