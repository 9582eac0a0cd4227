"""``extauthz apis``: the APIs that the registry knows."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, YesOption, at_the_desk, confirm, show, show_one
from extauthz.registry import apis as service

apis = typer.Typer(no_args_is_help=True, help="APIs that can be granted in the registry.")


@apis.command("register")
def register(
    api: str,
    owner: str = typer.Option(..., help="The account that provides the API, and may grant it."),
    stage: list[str] = typer.Option(["RELEASE"], help="Where it is published; repeat it for several."),
    self_grant: bool = typer.Option(False, help="Let consumers grant it to their own apps."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Make an API of the configuration known, so that it can be granted."""
    with at_the_desk(config) as desk:
        made = desk.do(service.register_api, api, owner, stages=tuple(stage), self_grant=self_grant)
        show_one(made, as_json)


@apis.command("list")
def list_all(
    owner: str | None = None, after: str = "", limit: int = 100, config: Path = ConfigOption, as_json: bool = JsonOption
) -> None:
    """List APIs by id."""
    with at_the_desk(config) as desk:
        found = desk.do(service.list_apis, owner_id=owner, after=after, limit=limit)
        show(found, as_json)


@apis.command("delete")
def delete(api: str, config: Path = ConfigOption, yes: bool = YesOption) -> None:
    """Delete an API from the registry, with every grant of it."""
    with at_the_desk(config) as desk:
        confirm(f"Delete API {api} and every grant of it?", yes)
        grants = desk.do(service.delete_api, api)
        told = ", ".join(f"{app} ({stage})" for app, stage in grants) or "none"
        typer.echo(f"API {api} is deleted; grants removed: {told}")
