"""``extauthz owners``: the accounts that apps and APIs belong to."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, YesOption, at_the_desk, confirm, show, show_one
from extauthz.registry import apps

owners = typer.Typer(no_args_is_help=True, help="Accounts that apps and APIs belong to.")


@owners.command("create")
def create(owner: str, description: str = "", config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """Create an account."""
    with at_the_desk(config) as desk:
        show_one(desk.do(apps.create_owner, owner, description), as_json)


@owners.command("list")
def list_all(after: str = "", limit: int = 100, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """List accounts."""
    with at_the_desk(config) as desk:
        show(desk.do(apps.list_owners, after=after, limit=limit), as_json)


@owners.command("delete")
def delete(owner: str, config: Path = ConfigOption, yes: bool = YesOption) -> None:
    """Delete an account that has no apps, APIs and tokens any more."""
    with at_the_desk(config) as desk:
        confirm(f"Delete owner {owner}?", yes)
        desk.do(apps.delete_owner, owner)
        typer.echo(f"owner {owner} is deleted")
