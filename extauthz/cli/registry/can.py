"""``extauthz can``: why an app may or may not call an API now."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, at_the_desk, moment_ms, show_one
from extauthz.registry import questions


def can(
    app: str,
    api: str,
    stage: str = typer.Option("RELEASE", help="RELEASE, PRE or TEST."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Say why an app may or may not call an API now, as far as the registry decides it. Exits with 2 if it may not."""
    with at_the_desk(config) as desk:
        verdict = desk.do(questions.can, app, api, stage, moment_ms("+0m") or 0)
        show_one(verdict, as_json)
        if not verdict.may:
            raise typer.Exit(2)
