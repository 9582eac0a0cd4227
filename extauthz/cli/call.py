"""``extauthz call``: sign a request, send it, show the answer and the same call as a curl line."""

import os
import sys
from pathlib import Path

import httpx
import typer
from rich.console import Console

from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign, string_to_sign
from extauthz.client.comparison import compare_strings
from extauthz.client.curl import curl_line
from extauthz.config.secrets import FromFile, SecretUnresolved, resolve
from extauthz.domain.app import HMAC_SHA256
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.header_names import X_CA_ERROR_MESSAGE
from extauthz.explain.caller import explain_answer
from extauthz.explain.terminal import print_answer

SECRET_VARIABLE = "EXTAUTHZ_APP_SECRET"  # noqa: S105  the name, not a secret
_FORM = "application/x-www-form-urlencoded"


def call(
    method: str = typer.Argument(..., help="GET, POST, ..."),
    url: str = typer.Argument(..., help="Percent-encoded, as it goes on the wire."),
    app_key: str = typer.Option(..., "--app-key", "-k", help="The AppKey."),
    secret_file: Path | None = typer.Option(
        None, "--app-secret-file", help=f"A file with the AppSecret; else ${SECRET_VARIABLE}, else you are asked."
    ),
    data: str | None = typer.Option(None, "--data", "-d", help="The body; @FILE reads it from a file."),
    header: list[str] = typer.Option([], "--header", "-H", help="A header, 'Name: value'; repeatable."),
    sign_header: list[str] = typer.Option([], "--sign-header", help="Sign this header too; repeatable."),
    stage: str | None = typer.Option(None, "--stage", help="RELEASE, PRE or TEST."),
    algorithm: str = typer.Option(HMAC_SHA256, "--algorithm", help="HmacSHA256 or HmacSHA1."),
    no_nonce: bool = typer.Option(False, "--no-nonce", help="Send no nonce, as some old clients do."),
    show_string: bool = typer.Option(False, "--string-to-sign", help="Print the string that was signed."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Sign and print the curl line, send nothing."),
    explain: bool = typer.Option(False, "--explain", help="Say what a denial means, and where the two strings part."),
    timeout_s: float = typer.Option(10.0, "--timeout", help="Seconds to wait for the answer."),
) -> None:
    """Sign a request with an AppKey and AppSecret, send it, and print the answer and the equivalent curl line.

    Exit code 0 for an answer below 400, 1 for any other, 2 when no answer came. The secret is never an argument,
    where other users of the machine could read it.
    """
    request = OutgoingRequest(method.upper(), url, _headers(header, data), _body(data))
    credentials = Credentials(app_key, _secret(secret_file))
    options = SigningOptions(
        algorithm=algorithm, stage=stage, sign_headers=tuple(sign_header), nonce="" if no_nonce else None
    )
    try:
        headers = sign(request, credentials, options)
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if show_string:
        typer.echo(f"string to sign:\n{string_to_sign(request, headers)}\n")
    typer.echo(f"{curl_line(request, headers)}\n")
    if not dry_run:
        _send(request, headers, timeout_s, explain)


def _send(request: OutgoingRequest, headers: dict[str, str], timeout_s: float, explain: bool) -> None:
    try:
        answer = httpx.request(
            request.method, request.url, headers=headers, content=request.body or None, timeout=timeout_s
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        typer.echo(f"no answer from {request.url}: {error or type(error).__name__}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"HTTP {answer.status_code}")
    for name, value in answer.headers.items():
        typer.echo(f"{name}: {value}")
    typer.echo(f"\n{answer.text}")
    signed = string_to_sign(request, headers)
    if explain and answer.status_code >= 400:
        typer.echo("")
        sent = {name.lower(): value for name, value in headers.items()}
        told = explain_answer(answer.status_code, dict(answer.headers), signed, sent, wall_clock_ms())
        print_answer(Console(width=None if sys.stdout.isatty() else 150), told)
    elif difference := compare_strings(signed, answer.headers.get(X_CA_ERROR_MESSAGE, "")):
        typer.echo(f"\n{difference}", err=True)
    if answer.status_code >= 400:
        raise typer.Exit(1)


def _secret(file: Path | None) -> str:
    if file is not None:
        try:
            return resolve(FromFile(file=file), Path())
        except SecretUnresolved as error:
            typer.echo(f"cannot read the AppSecret: {error}", err=True)
            raise typer.Exit(2) from None
    secret = os.environ.get(SECRET_VARIABLE)
    return secret if secret else str(typer.prompt("AppSecret", hide_input=True, err=True))


def _headers(lines: list[str], data: str | None) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            typer.echo(f"--header {line!r} is not 'Name: value'", err=True)
            raise typer.Exit(2)
        headers[name.strip()] = value.strip()
    if data is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json" if data.lstrip()[:1] in ("{", "[") else _FORM
    return headers


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        typer.echo(f"cannot read the body from {data[1:]}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
