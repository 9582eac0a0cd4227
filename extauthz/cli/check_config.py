"""``extauthz check-config``: is this file sound, and what would ``serve`` say?"""

from pathlib import Path

import typer

from extauthz.cli.reading import print_problems, read_config
from extauthz.config import ConfigError
from extauthz.config.place import check_workers
from extauthz.serve.extras import missing_extras


def check_config(
    file: Path = typer.Argument(..., help="The configuration file (YAML)."),
    workers: int = typer.Option(1, min=1, max=256, help="Check for so many workers, as `serve --workers`."),
    without_secrets: bool = typer.Option(
        False, "--without-secrets", help="Do not look for what {env: ..}, {file: ..} and `tls` name, as in CI."
    ),
) -> None:
    """Check a configuration file. Exit 0 when it can be served, 1 with every mistake listed when not.

    Secrets that it names in environment variables or files are read, to show that they can be. Warnings do not change
    the exit code.
    """
    config = read_config(file, without_secrets=without_secrets)
    problems = missing_extras(config)
    try:
        check_workers(config, workers)
    except ConfigError as error:
        problems += error.problems
    if problems:
        print_problems(file, ConfigError(problems))
        raise typer.Exit(1)
    snapshot = config.snapshot
    sizes = snapshot.directory.sizes()
    typer.echo(
        f"{file}: sound. {len(snapshot.gateway.apis)} APIs, {sizes['apps']} apps, {sizes['grants']} grants, "
        f"revision {snapshot.revision}" + (" (secrets were not looked for)" if without_secrets else "")
    )
