"""The ``extauthz`` command."""

import typer

import extauthz
from extauthz.cli import admin, call, check_config, doctor, envoy_cluster, reasons, schema, serve
from extauthz.cli.registry.access import API_URL
from extauthz.cli.registry.apis import apis
from extauthz.cli.registry.apps import apps
from extauthz.cli.registry.audit import audit
from extauthz.cli.registry.codes import codes
from extauthz.cli.registry.grants import grants
from extauthz.cli.registry.keys import keys
from extauthz.cli.registry.owners import owners
from extauthz.cli.registry.registry import registry
from extauthz.cli.registry.requests import requests
from extauthz.cli.registry.tokens import tokens
from extauthz.cli.review import can, lint, rehearse

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    help="API-gateway authentication for any Envoy: AppCode, signed requests, JWT, app authorization.",
)
app.command("serve")(serve.serve)
app.command("admin")(admin.admin)
app.command("check-config")(check_config.check_config)
app.command("lint")(lint.lint)
app.command("call")(call.call)
app.command("envoy-cluster")(envoy_cluster.envoy_cluster)
app.command("schema")(schema.schema)
app.command("reasons")(reasons.reasons)
app.command("rehearse")(rehearse.rehearse)
app.command("doctor")(doctor.doctor)
app.add_typer(registry, name="registry")
app.add_typer(owners, name="owners")
app.add_typer(apps, name="apps")
app.add_typer(keys, name="keys")
app.add_typer(codes, name="codes")
app.add_typer(apis, name="apis")
app.add_typer(grants, name="grants")
app.add_typer(requests, name="requests")
app.add_typer(tokens, name="tokens")
app.command("audit")(audit)
app.command("can")(can.can)
app.command("who-can")(can.who_can)
app.command("what-can")(can.what_can)


@app.callback(invoke_without_command=True)
def main(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    api: str | None = typer.Option(
        None, envvar="EXTAUTHZ_API", help="Work at the registry behind this admin API; the token is in EXTAUTHZ_TOKEN."
    ),
) -> None:
    """Answer the questions that every command shares."""
    API_URL.set(api)
    if version:
        typer.echo(f"{extauthz.__version__} ({extauthz.build()})")
        raise typer.Exit
