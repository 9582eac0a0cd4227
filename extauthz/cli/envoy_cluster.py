"""``extauthz envoy-cluster``: the cluster that Envoy needs to reach every worker."""

from pathlib import Path

import typer
import yaml

from extauthz.cli.reading import ConfigOption, print_problems, read_config
from extauthz.config import ConfigError
from extauthz.config.place import check_workers
from extauthz.envoy.cluster import envoy_clusters


def envoy_cluster(
    config: Path = ConfigOption,
    workers: int = typer.Option(1, min=1, max=256, help="As many as `extauthz serve --workers` gets."),
    host: str = typer.Option("", help="Where Envoy reaches listeners bound to every interface; default: loopback."),
) -> None:
    """Print the Envoy cluster (YAML, for `static_resources.clusters`) that lists the sockets of all workers.

    Envoy keeps one connection per endpoint and thread, so it must know every worker to spread checks over them.
    """
    loaded = read_config(config)
    try:
        check_workers(loaded, workers)
    except ConfigError as error:
        print_problems(config, error)
        raise typer.Exit(1) from None
    typer.echo(yaml.safe_dump(envoy_clusters(loaded.file, workers, host), sort_keys=False), nl=False)
