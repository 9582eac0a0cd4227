"""``extauthz audit``: who did what in the registry."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, JsonOption, at_the_desk, show
from extauthz.registry.audit import list_audit


def audit(
    target: str | None = typer.Option(None, help="Only what was done to it: app/ID, key/APPKEY, grant/APP/API/STAGE."),
    limit: int = 50,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Show the audit trail, the newest first."""
    with at_the_desk(config) as desk:
        show(desk.do(list_audit, target=target, limit=limit), as_json)
