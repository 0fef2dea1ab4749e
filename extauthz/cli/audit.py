"""`extauthz audit`: records tailed, found, exported, and proven. Each command has a module of its own."""

import typer

from extauthz.cli.on_demand import command, on_demand

app = typer.Typer(
    name="audit",
    no_args_is_help=True,
    cls=on_demand(
        {
            "find": command("audit_find", "find", short_help="Find records: when, who, what, why."),
            "verify": command("audit_verify", "verify", short_help="Prove that nobody touched the records."),
            "export": command(
                "audit_export", "export", short_help="Write records as a table: Parquet, CSV, JSON Lines."
            ),
            "schema": command("audit_schema", "schema", short_help="Print the JSON Schema of the lines."),
            "tail": command("audit_tail", "tail", short_help="Show the last records, and follow new ones."),
        }
    ),
)


@app.callback()
def _group() -> None:
    """Records of decisions, and of what happened beside them."""
