"""Reading the configuration file on behalf of a command: mistakes are printed, all of them, and end it with exit 1."""

from collections.abc import Callable
from pathlib import Path

import typer

from extauthz.config import ConfigError, ServiceConfig, load

ConfigOption = typer.Option(..., "--config", "-c", help="The configuration file (YAML).")


def print_warning(text: str) -> None:
    """Print what is no mistake, but its author should know, to standard error."""
    typer.echo(f"warning: {text}", err=True)


def read_config(
    path: Path, warn: Callable[[str], None] = print_warning, *, without_secrets: bool = False
) -> ServiceConfig:
    """Load the file and tell its warnings, or print what is wrong with it and exit with 1."""
    try:
        config = load(path, without_secrets=without_secrets)
    except ConfigError as error:
        print_problems(path, error)
        raise typer.Exit(1) from None
    for note in config.notes:
        warn(str(note))
    return config


def print_problems(path: Path, error: ConfigError) -> None:
    """Print every mistake of a configuration to standard error."""
    for note in error.notes:
        print_warning(str(note))
    for problem in error.problems:
        typer.echo(str(problem), err=True)
    count = len(error.problems)
    typer.echo(f"{count} mistake{'s' if count > 1 else ''} in {path}; nothing was started or changed.", err=True)
