"""All commands of `extauthz`, gathered.

The rule kept here: what is not the server is imported when it is asked for. The server starts with none of it.
"""

from typing import Annotated, Final

import typer

from extauthz import __version__
from extauthz.cli.interrupts import Importing
from extauthz.cli.on_demand import command, group, on_demand
from extauthz.cli.revision import revision
from extauthz.cli.serve import serve

_GROUPS: Final = (
    *("policy", "factors", "devices", "subjects", "grants", "approvals"),
    *("keys", "bundle", "audit", "envoy", "config"),
)
"""The modules beside this one whose `app` is a group of that name."""
_ELSEWHERE: Final = {
    "health": command("health", "health", short_help="Ask a running server whether it serves."),
    "doctor": command("doctor", "doctor", short_help="Tell what is wrong with a running deployment."),
    "quickstart": command("quickstart.command", "quickstart", short_help="Try it: Envoy, a service and extauthz here."),
    **dict.fromkeys(_GROUPS, group),
}

app = typer.Typer(
    name="extauthz",
    cls=on_demand(_ELSEWHERE),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the boxes say `<bool>` after every flag, as if it took a value
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command(short_help="Answer Envoy's checks.")(serve)


def _print_version(wanted: bool) -> None:
    if wanted:
        with Importing():
            from extauthz.app.compiled import is_compiled

        built_from = revision()
        said = [*([f"revision {built_from}"] if built_from else ()), "compiled" if is_compiled() else "not compiled"]
        typer.echo(f"extauthz {__version__} ({', '.join(said)})")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, the revision and whether it is compiled.",
        ),
    ] = False,
) -> None:
    """The decision point that Envoy asks before it lets a request through."""
