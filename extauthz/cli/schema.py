"""``extauthz schema``: the JSON Schema of the configuration file, for editors, and the page about every key."""

import json

import typer


def schema(
    as_markdown: bool = typer.Option(False, "--markdown", help="Print docs/configuration.md: every key explained."),
) -> None:
    """Print the JSON Schema of the configuration file.

    Save it and begin the YAML file with `# yaml-language-server: $schema=FILE` to get completion in an editor.
    """
    from extauthz.config import reference

    typer.echo(
        reference.markdown() if as_markdown else json.dumps(reference.json_schema(), indent=2), nl=not as_markdown
    )
