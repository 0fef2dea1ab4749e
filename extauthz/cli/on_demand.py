"""Commands that are imported when they are asked for, so that nobody waits for what other commands need."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from extauthz.cli.interrupts import Importing

Command = TyperCommand | TyperGroup
Import = Callable[[str], Command]
"""Imports a command; is told its name."""


def command(module: str, function: str, *, short_help: str | None = None) -> Import:
    """The command that is this function of a module beside this one."""

    def imported(name: str) -> Command:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        alone.command(name, short_help=short_help)(getattr(_beside(module), function))
        return cast("TyperCommand", get_command(alone))

    return imported


def group(name: str) -> Command:
    """The group that is the `app` of the module of that name beside this one."""
    parent = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    parent.add_typer(_beside(name).app, name=name)
    return cast("TyperGroup", get_group(parent).commands[name])


def _beside(module: str) -> ModuleType:
    with Importing():
        return import_module(f"extauthz.cli.{module}")


def on_demand(elsewhere: Mapping[str, Import]) -> type[TyperGroup]:
    """What a `typer.Typer` is to be (`cls`) that has these commands, after those that are registered with it."""

    class OnDemand(TyperGroup):
        def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - they are typer's
            super().__init__(**attributes)
            # Typer reads them; only `add_command`, which nobody calls, would write.
            self.commands = cast("MutableMapping[str, Any]", _Commands(self.commands, elsewhere))

    return OnDemand


class _Commands(Mapping[str, Command]):
    def __init__(self, at_hand: Mapping[str, Any], elsewhere: Mapping[str, Import]) -> None:
        self._at_hand: dict[str, Command] = dict(at_hand)
        self._elsewhere = elsewhere

    def __getitem__(self, name: str) -> Command:
        if name not in self._at_hand and name in self._elsewhere:
            self._at_hand[name] = self._elsewhere[name](name)
        return self._at_hand[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*(name for name in self._at_hand if name not in self._elsewhere), *self._elsewhere))

    def __len__(self) -> int:
        return len(self._at_hand.keys() | self._elsewhere.keys())
