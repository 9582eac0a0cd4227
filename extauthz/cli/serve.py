"""``extauthz serve``: run the service."""

import logging
from pathlib import Path

import typer
import uvloop

from extauthz.cli.reading import ConfigOption, print_problems, read_config
from extauthz.config import ConfigError
from extauthz.config.place import check_replicas
from extauthz.serve.process import Process
from extauthz.serve.process_log import OURS, log_to_stderr
from extauthz.serve.workers.supervisor import StartFailed, Supervisor


def serve(
    config: Path = ConfigOption,
    workers: int = typer.Option(
        1, min=1, max=256, help="Processes, each on sockets of its own; `extauthz envoy-cluster` lists them for Envoy."
    ),
    replicas: int | None = typer.Option(
        None,
        min=1,
        envvar="EXTAUTHZ_REPLICAS",
        help="How many of this service there may be at once, on whatever machines: more than one share their nonces.",
    ),
) -> None:
    """Answer Envoy's checks until SIGTERM or Ctrl-C.

    The decision log goes where the configuration says, everything else to standard error.
    """
    log_to_stderr()
    loaded = read_config(config, logging.getLogger(OURS).warning)
    try:
        check_replicas(loaded, replicas)
        if workers > 1:
            Supervisor(loaded, workers).run()
        else:
            uvloop.run(Process(loaded).run())
    except ConfigError as error:
        print_problems(config, error)
        raise typer.Exit(1) from None
    except StartFailed as error:
        typer.echo(f"cannot start: {error}", err=True)
        raise typer.Exit(1) from None
    except (ModuleNotFoundError, OSError) as error:
        typer.echo(f"cannot start: {error}", err=True)
        raise typer.Exit(1) from None
