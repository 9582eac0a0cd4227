"""``extauthz serve``: run the service."""

import logging
from pathlib import Path

import typer
import uvloop

from extauthz.cli.reading import ConfigOption, read_config
from extauthz.serve.process import Process


def serve(config: Path = ConfigOption) -> None:
    """Answer Envoy's checks until SIGTERM or Ctrl-C.

    The decision log goes where the configuration says, everything else to standard error.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    loaded = read_config(config)
    try:
        uvloop.run(Process(loaded).run())
    except ModuleNotFoundError as error:
        typer.echo(f"{error}: `transport: native` needs `pip install extauthz[fast]`", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"cannot start: {error}", err=True)
        raise typer.Exit(1) from None
