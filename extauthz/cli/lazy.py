"""Commands that are imported when they are called: `extauthz --help` loads no database client."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


class Place(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    module: str
    attribute: str
    """A function, or a group of commands."""
    help: str


class LazyCommand(TyperCommand):
    """Stands for a command until it is called."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, help=place.help)
        self._place = place

    def real(self) -> Any:
        """The command itself."""
        found = getattr(import_module(self._place.module), self._place.attribute)
        if isinstance(found, Typer):
            command: Any = get_group(found)
        else:
            alone = Typer(add_completion=False)
            alone.command()(found)
            command = get_command(alone)
        command.name = self.name
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Whoever calls it gets the real one."""
        return self.real().make_context(info_name, args, parent, **extra)


class LazyGroup(TyperGroup):
    """A group whose commands stand in ``places``."""

    places: ClassVar[Mapping[str, Place]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of ``places``."""
        return [*self.places, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One that stands for the real one."""
        place = self.places.get(cmd_name)
        return super().get_command(ctx, cmd_name) if place is None else LazyCommand(cmd_name, place)
