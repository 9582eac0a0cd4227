"""``extauthz apps``: the apps of the registry."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, YesOption, at_the_desk, confirm, show, show_one
from extauthz.registry import apps as service

apps = typer.Typer(no_args_is_help=True, help="Apps: the identities that call APIs.")


@apps.command("create")
def create(
    app: str,
    owner: str = typer.Option(..., help="The account that the app belongs to."),
    name: str = typer.Option(..., help="4 to 26 characters."),
    description: str = "",
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Create an app; `extauthz keys create` and `extauthz codes create` give it credentials."""
    with at_the_desk(config) as desk:
        made = desk.do(service.create_app, app, owner, name, description)
        show_one(made, as_json)


@apps.command("list")
def list_all(
    owner: str | None = None,
    after: str = "",
    limit: int = 100,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """List apps by id."""
    with at_the_desk(config) as desk:
        found = desk.do(service.list_apps, owner_id=owner, after=after, limit=limit)
        show(found, as_json)


@apps.command("disable")
def disable(app: str, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """Refuse every call of an app from now on; its credentials and grants stay."""
    with at_the_desk(config) as desk:
        show_one(desk.do(service.change_app, app, disabled=True), as_json)


@apps.command("enable")
def enable(app: str, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """Let an app call again."""
    with at_the_desk(config) as desk:
        show_one(desk.do(service.change_app, app, disabled=False), as_json)


@apps.command("delete")
def delete(app: str, config: Path = ConfigOption, yes: bool = YesOption) -> None:
    """Delete an app with its credentials and grants."""
    with at_the_desk(config) as desk:
        confirm(f"Delete app {app} with all its credentials and grants?", yes)
        grants = desk.do(service.delete_app, app)
        told = ", ".join(f"{api} ({stage})" for api, stage in grants) or "none"
        typer.echo(f"app {app} is deleted; grants removed: {told}")
