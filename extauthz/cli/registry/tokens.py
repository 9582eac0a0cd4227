"""``extauthz tokens``: who may use the admin API."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import (
    ConfigOption,
    JsonOption,
    UntilOption,
    YesOption,
    at_the_desk,
    confirm,
    moment_ms,
    show,
    show_one,
)
from extauthz.registry import tokens as service
from extauthz.registry.rules import Role

tokens = typer.Typer(no_args_is_help=True, help="Tokens of the admin API.")


@tokens.command("create")
def create(
    name: str = typer.Option(..., help="4 to 26 characters; the audit trail shows it."),
    role: Role = typer.Option(..., help="What the token may do."),
    owner: str | None = typer.Option(None, help="The account it acts for; admins act for all."),
    until: str | None = UntilOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Create a token and show it, once."""
    with at_the_desk(config) as desk:
        until_ms = moment_ms(until)
        made = desk.do(service.create_token, name, role, owner, until_ms=until_ms)
        show_one(made.token, as_json, token=made.value)


@tokens.command("list")
def list_all(after: str = "", limit: int = 100, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """List tokens, without their values."""
    with at_the_desk(config) as desk:
        show(desk.do(service.list_tokens, after=after, limit=limit), as_json)


@tokens.command("delete")
def delete(token: str, config: Path = ConfigOption, yes: bool = YesOption) -> None:
    """Let a token, by its id, be worth nothing from now on."""
    with at_the_desk(config) as desk:
        confirm(f"Delete token {token}?", yes)
        desk.do(service.delete_token, token)
        typer.echo(f"token {token} is deleted")
