"""All commands of `extauthz`, gathered.

The rule kept here: a group of commands is imported when it is asked for. The server starts with none of the others.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from extauthz import __version__
from extauthz.cli.doctor import doctor
from extauthz.cli.health import health
from extauthz.cli.interrupts import Importing
from extauthz.cli.quickstart.command import quickstart
from extauthz.cli.revision import revision
from extauthz.cli.serve import serve

_GROUPS = (
    *("policy", "factors", "devices", "subjects", "grants", "approvals"),
    *("keys", "bundle", "audit", "envoy", "config"),
)
"""The modules beside this one whose `app` is a group of that name."""


class _Root(TyperGroup):
    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - they are typer's
        super().__init__(**attributes)
        # Typer reads them; only `add_command`, which nobody calls, would write.
        self.commands = cast("MutableMapping[str, Any]", _Commands(self.commands))


class _Commands(Mapping[str, TyperCommand | TyperGroup]):
    def __init__(self, at_hand: Mapping[str, Any]) -> None:
        self._at_hand: dict[str, TyperCommand | TyperGroup] = dict(at_hand)

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        if name not in self._at_hand and name in _GROUPS:
            self._at_hand[name] = _imported(name)
        return self._at_hand[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*(name for name in self._at_hand if name not in _GROUPS), *_GROUPS))

    def __len__(self) -> int:
        return len(self._at_hand.keys() | set(_GROUPS))


def _imported(name: str) -> TyperGroup:
    with Importing():
        group = import_module(f"extauthz.cli.{name}").app
    parent = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    parent.add_typer(group, name=name)
    return cast("TyperGroup", get_group(parent).commands[name])


app = typer.Typer(
    name="extauthz",
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the boxes say `<bool>` after every flag, as if it took a value
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command(short_help="Answer Envoy's checks.")(serve)
app.command(short_help="Ask a running server whether it serves.")(health)
app.command(short_help="Tell what is wrong with a running deployment.")(doctor)
app.command(short_help="Try it: Envoy, a service and extauthz here.")(quickstart)


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
