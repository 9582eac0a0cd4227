"""``extauthz check-config``: is this file sound?"""

from pathlib import Path

import typer

from extauthz.cli.reading import read_config


def check_config(file: Path = typer.Argument(..., help="The configuration file (YAML).")) -> None:
    """Check a configuration file. Exit 0 when it can be served, 1 with every mistake listed when not.

    Secrets that it names in environment variables or files are read, to show that they can be.
    """
    snapshot = read_config(file).snapshot
    apps = {pair.app.id for pair in snapshot.keys.values()} | {app.id for app in snapshot.app_codes.values()}
    typer.echo(
        f"{file}: sound. {len(snapshot.apis)} APIs, {len(apps)} apps with credentials, {len(snapshot.grants)} grants, "
        f"revision {snapshot.revision}"
    )
