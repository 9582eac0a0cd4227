"""``extauthz codes``: AppCodes."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, YesOption, at_the_desk, confirm, show, show_one
from extauthz.registry import codes as service

codes = typer.Typer(no_args_is_help=True, help="AppCodes of apps.")


@codes.command("create")
def create(app: str, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """Create an AppCode and show it, once."""
    with at_the_desk(config) as desk:
        made = desk.do(service.create_code, app)
        show_one(made.code, as_json, app_code=made.app_code)


@codes.command("list")
def list_all(app: str, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """List the AppCodes of an app by id and last four characters."""
    with at_the_desk(config) as desk:
        show(desk.do(service.list_codes, app), as_json)


@codes.command("delete")
def delete(code_id: str, config: Path = ConfigOption, yes: bool = YesOption) -> None:
    """Delete an AppCode by its id."""
    with at_the_desk(config) as desk:
        confirm(f"Delete AppCode {code_id}?", yes)
        desk.do(service.delete_code, code_id)
        typer.echo(f"AppCode {code_id} is deleted")
