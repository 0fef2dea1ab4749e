"""`extauthz envoy …`: Envoy's side of it. The commands are registered here; each has a module of its own."""

import typer

app = typer.Typer(help="Write Envoy's configuration, and judge it.", no_args_is_help=True)
