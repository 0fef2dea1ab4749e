"""`extauthz approvals`: what waits for an answer, and who may give it."""

import typer

from extauthz.cli import deliveries
from extauthz.cli.approver_link import link

app = typer.Typer(name="approvals", no_args_is_help=True, help="Approvals, and who answers them.")


@app.callback()
def _group() -> None:
    """A group stays one, however many commands it has."""


app.command(short_help="A link with which SUB logs in at the approvers' pages.")(link)
app.add_typer(deliveries.app)
