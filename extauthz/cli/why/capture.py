"""``extauthz capture``: keep the next denied checks of an app or an API, to be explained by their request ids."""

import getpass
import json
import time
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from extauthz.cli.reading import ConfigOption, read_config
from extauthz.explain.fact import moment
from extauthz.observe.capture.configured import capture_folder
from extauthz.observe.capture.folder import MOST_CHECKS, MOST_MINUTES, CaptureFolder

capture = typer.Typer(
    no_args_is_help=True, help="Keep denied checks for a while, sealed, so that `extauthz explain ID` finds them."
)


@capture.command("on")
def on(
    config: Path = ConfigOption,
    app: str = typer.Option("", "--app", help="Of this app, also where its signature does not match."),
    api: str = typer.Option("", "--api", help="Of this API."),
    checks: int = typer.Option(20, min=1, max=MOST_CHECKS, help="How many, of all workers of this host together."),
    minutes: int = typer.Option(10, min=1, max=MOST_MINUTES, help="For how long at most."),
    why: str = typer.Option(..., "--why", help="For the log: why customers' requests are kept."),
) -> None:
    """Keep the next denied checks of an app or of an API, on this host. What was kept before is removed."""
    if bool(app) == bool(api):
        typer.echo("say which checks: either --app or --api", err=True)
        raise typer.Exit(2)
    folder = _folder(config)
    try:
        wanted = folder.ask(app, api, checks, time.time_ns() // 1_000_000 + minutes * 60_000, getpass.getuser(), why)
    except OSError as error:
        typer.echo(f"cannot write to {folder.path}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"up to {checks} denied checks are kept until {moment(wanted.until_ms)}, by all workers of this host")


@capture.command("off")
def off(config: Path = ConfigOption) -> None:
    """Keep no more checks, and remove those that were kept."""
    folder = _folder(config)
    count = folder.kept()
    folder.clear()
    typer.echo(f"capture is off; {count} checks were removed")


@capture.command("list")
def list_captured(
    config: Path = ConfigOption, as_json: bool = typer.Option(False, "--json", help="Print JSON for machines.")
) -> None:
    """List the checks that were kept, by request id; `extauthz explain ID` explains one."""
    found = [
        {"id": one.id, "at": moment(one.at_ms), "reason": one.reason, "api": one.api, "app": one.app}
        for one in _folder(config).captured()
    ]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("request id", "at", "reason", "API", "app")
    for row in found:
        table.add_row(*row.values())
    Console(width=150).print(table)


def _folder(config: Path) -> CaptureFolder:
    folder = capture_folder(read_config(config, warn=lambda _: None))
    if folder is None:
        typer.echo(f"{config} has no `capture`: name a folder and a key there, and restart the service", err=True)
        raise typer.Exit(2)
    return folder
