"""``extauthz keys``: AppKey/AppSecret pairs."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import (
    ConfigOption,
    JsonOption,
    YesOption,
    at_the_desk,
    confirm,
    moment_ms,
    show,
    show_one,
)
from extauthz.registry import credentials

keys = typer.Typer(no_args_is_help=True, help="AppKey/AppSecret pairs of apps.")


@keys.command("create")
def create(
    app: str,
    app_key: str | None = typer.Option(None, help="Choose the AppKey; by default a random one."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Create a key pair and show its AppSecret, once."""
    with at_the_desk(config) as desk:
        made = desk.do(credentials.create_key, app, app_key)
        show_one(made.key, as_json, app_secret=made.app_secret)


@keys.command("list")
def list_all(app: str, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """List the key pairs of an app, without secrets."""
    with at_the_desk(config) as desk:
        show(desk.do(credentials.list_keys, app), as_json)


@keys.command("rotate")
def rotate(
    app_key: str,
    overlap: str = typer.Option("+24h", help="How long the old AppSecret stays valid too: +7d, +12h, +0m."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Give a key pair a new AppSecret and show it, once; the old one stays valid for a while."""
    with at_the_desk(config) as desk:
        overlap_ms = moment_ms(overlap, 0) or 0
        made = desk.do(credentials.rotate_key, app_key, overlap_ms)
        show_one(made.key, as_json, app_secret=made.app_secret)


@keys.command("end-previous")
def end_previous(app_key: str, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """Let only the newest AppSecret be valid from now on."""
    with at_the_desk(config) as desk:
        show_one(desk.do(credentials.end_previous_secret, app_key), as_json)


@keys.command("reveal")
def reveal(app_key: str, config: Path = ConfigOption) -> None:
    """Show the AppSecret of a key pair; the audit trail keeps who asked."""
    with at_the_desk(config) as desk:
        typer.echo(desk.do(credentials.reveal_secret, app_key))


@keys.command("delete")
def delete(app_key: str, config: Path = ConfigOption, yes: bool = YesOption) -> None:
    """Delete a key pair."""
    with at_the_desk(config) as desk:
        confirm(f"Delete AppKey {app_key}?", yes)
        desk.do(credentials.delete_key, app_key)
        typer.echo(f"AppKey {app_key} is deleted")
