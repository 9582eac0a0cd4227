"""The ``extauthz`` command."""

from typing import Final

import typer

import extauthz
from extauthz.cli.api_url import API_URL
from extauthz.cli.lazy import LazyGroup, Place

_CLI: Final = "extauthz.cli"
_REGISTRY: Final = "extauthz.cli.registry"
PLACES: Final = {
    "serve": Place(f"{_CLI}.serve", "serve", "Answer Envoy's checks until SIGTERM or Ctrl-C."),
    "admin": Place(f"{_CLI}.admin", "admin", "Serve the registry's API until SIGTERM or Ctrl-C."),
    "check-config": Place(f"{_CLI}.check_config", "check_config", "Check a configuration file."),
    "lint": Place(f"{_CLI}.lint", "lint", "Name what a sound configuration leaves open, unused or forgotten."),
    "call": Place(f"{_CLI}.call", "call", "Sign a request, send it, and print the answer."),
    "explain": Place(f"{_CLI}.why.explain", "explain_check", "Tell the way of a check, and its client's mistake."),
    "capture": Place(f"{_CLI}.why.capture", "capture", "Keep denied checks for a while, for `explain ID`."),
    "envoy-cluster": Place(f"{_CLI}.envoy_cluster", "envoy_cluster", "Print the Envoy cluster that lists the workers."),
    "schema": Place(f"{_CLI}.schema", "schema", "Print the JSON Schema of the configuration file."),
    "rehearse": Place(f"{_CLI}.rehearse", "rehearse", "Decide a log by another configuration: who would lose access."),
    "reasons": Place(f"{_CLI}.why.reasons", "reasons", "Explain the reasons that logs, metrics and callers are shown."),
    "doctor": Place(f"{_CLI}.doctor", "doctor", "Examine files of Envoy, Istio or Envoy Gateway for holes."),
    "registry": Place(f"{_REGISTRY}.registry", "registry", "The registry's database and its master keys."),
    "owners": Place(f"{_REGISTRY}.owners", "owners", "Accounts that apps and APIs belong to."),
    "apps": Place(f"{_REGISTRY}.apps", "apps", "Apps: the identities that call."),
    "keys": Place(f"{_REGISTRY}.keys", "keys", "AppKeys and their AppSecrets."),
    "codes": Place(f"{_REGISTRY}.codes", "codes", "AppCodes."),
    "apis": Place(f"{_REGISTRY}.apis", "apis", "APIs that grants may name."),
    "grants": Place(f"{_REGISTRY}.grants", "grants", "Which app may call which API, in which stage, until when."),
    "requests": Place(f"{_REGISTRY}.requests", "requests", "Requests for access."),
    "tokens": Place(f"{_REGISTRY}.tokens", "tokens", "Tokens for the admin API."),
    "audit": Place(f"{_REGISTRY}.audit", "audit", "Who changed what."),
    "can": Place(f"{_CLI}.why.can", "can", "Whether an app may call an API, and why or why not."),
    "who-can": Place(f"{_CLI}.why.can", "who_can", "Which apps may call an API."),
    "what-can": Place(f"{_CLI}.why.can", "what_can", "Which APIs an app may call."),
}
"""A command is a line here; what it does is imported when it is called."""


class Commands(LazyGroup):
    """The commands of ``extauthz``."""

    places = PLACES


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    help="API-gateway authentication for any Envoy: AppCode, signed requests, JWT, app authorization.",
)


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
