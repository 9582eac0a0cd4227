"""``extauthz schema``: the JSON Schema of the configuration file, for editors."""

import json

import typer

from extauthz.config.schema import ConfigFile


def schema() -> None:
    """Print the JSON Schema of the configuration file.

    Save it and begin the YAML file with `# yaml-language-server: $schema=FILE` to get completion in an editor.
    """
    typer.echo(json.dumps(ConfigFile.model_json_schema(), indent=2))
