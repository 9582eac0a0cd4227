"""Reading the configuration file on behalf of a command: mistakes are printed, all of them, and end it with exit 1."""

from pathlib import Path

import typer

from extauthz.config import ConfigError, ServiceConfig, load

ConfigOption = typer.Option(..., "--config", "-c", help="The configuration file (YAML).")


def read_config(path: Path) -> ServiceConfig:
    """Load the file and print its notes, or print what is wrong with it and exit with 1."""
    try:
        config = load(path)
    except ConfigError as error:
        print_problems(path, error)
        raise typer.Exit(1) from None
    for note in config.notes:
        typer.echo(f"note: {note}", err=True)
    return config


def print_problems(path: Path, error: ConfigError) -> None:
    """Print every mistake of a configuration to standard error."""
    for problem in error.problems:
        typer.echo(str(problem), err=True)
    count = len(error.problems)
    typer.echo(f"{count} mistake{'s' if count > 1 else ''} in {path}; nothing was started or changed.", err=True)
