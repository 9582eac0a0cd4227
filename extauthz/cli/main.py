"""The ``extauthz`` command."""

import typer

import extauthz
from extauthz.cli import call, check_config, doctor, envoy_cluster, reasons, schema, serve

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    help="API-gateway authentication for any Envoy: AppCode, signed requests, JWT, app authorization.",
)
app.command("serve")(serve.serve)
app.command("check-config")(check_config.check_config)
app.command("call")(call.call)
app.command("envoy-cluster")(envoy_cluster.envoy_cluster)
app.command("schema")(schema.schema)
app.command("reasons")(reasons.reasons)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def main(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Answer the questions that every command shares."""
    if version:
        typer.echo(f"{extauthz.__version__} ({extauthz.build()})")
        raise typer.Exit
