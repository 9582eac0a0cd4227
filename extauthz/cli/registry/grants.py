"""``extauthz grants``: which app may call which API."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import (
    ConfigOption,
    JsonOption,
    UntilOption,
    at_the_desk,
    moment_ms,
    show,
)
from extauthz.registry import grants as service

grants = typer.Typer(no_args_is_help=True, help="Grants: which app may call which API in which stage, until when.")
AppOption = typer.Option(..., "--app", help="An app's id, also of another account; repeat it for several.")
ApiOption = typer.Option(..., "--api", help="An API's id; repeat it for several.")
StageOption = typer.Option("RELEASE", "--stage", help="RELEASE, PRE or TEST.")


@grants.command("create")
def create(
    app: list[str] = AppOption,
    api: list[str] = ApiOption,
    stage: str = StageOption,
    until: str | None = UntilOption,
    description: str = "",
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Grant one API to up to 100 apps, or one app up to 100 APIs: all of them or none."""
    with at_the_desk(config) as desk:
        until_ms = moment_ms(until)
        made = desk.do(service.grant, app, api, stage, until_ms=until_ms, description=description)
        show(made, as_json)


@grants.command("revoke")
def revoke(
    app: list[str] = AppOption, api: list[str] = ApiOption, stage: str = StageOption, config: Path = ConfigOption
) -> None:
    """Take grants back: all of them or none."""
    with at_the_desk(config) as desk:
        count = desk.do(service.revoke, app, api, stage)
        typer.echo(f"{count} grant{'s are' if count > 1 else ' is'} revoked")


@grants.command("list")
def list_all(
    app: str | None = None,
    api: str | None = None,
    ends_before: str | None = typer.Option(None, help="Only those that end before: +30d, 2027-01-31."),
    limit: int = 100,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """List grants: of an app, of an API, or those that end soon."""
    with at_the_desk(config) as desk:
        before_ms = moment_ms(ends_before)
        found = desk.do(service.list_grants, app_id=app, api_id=api, ends_before_ms=before_ms, limit=limit)
        show(found, as_json)
