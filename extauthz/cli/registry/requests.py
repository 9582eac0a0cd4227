"""``extauthz requests``: who asked for access, and what became of it."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, UntilOption, at_the_desk, moment_ms, show, show_one
from extauthz.registry import requests as service

requests = typer.Typer(no_args_is_help=True, help="Access requests: asked by consumers, decided by providers.")


@requests.command("ask")
def ask(
    app: str,
    api: str,
    why: str = typer.Option(..., help="What the access is for."),
    stage: str = "RELEASE",
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Ask for access of an app to an API."""
    with at_the_desk(config) as desk:
        show_one(desk.do(service.ask, app, api, stage, why), as_json)


@requests.command("list")
def list_all(
    state: str | None = typer.Option(None, help="pending, approved, refused or withdrawn."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """List requests."""
    with at_the_desk(config) as desk:
        show(desk.do(service.list_requests, state=state), as_json)


@requests.command("approve")
def approve(
    request: str,
    until: str | None = UntilOption,
    answer: str = "",
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Make the grant that was asked for."""
    with at_the_desk(config) as desk:
        until_ms = moment_ms(until)
        decided = desk.do(service.approve, request, until_ms=until_ms, answer=answer)
        show_one(decided, as_json)


@requests.command("refuse")
def refuse(
    request: str,
    answer: str = typer.Option(..., help="Why; the consumer sees it."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Refuse a request."""
    with at_the_desk(config) as desk:
        show_one(desk.do(service.refuse, request, answer), as_json)
