"""``extauthz explain``: why is this request denied, or let through?"""

import json
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from extauthz.cli.reading import read_config
from extauthz.config import ServiceConfig
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.request import Network
from extauthz.explain.current import current_snapshot, fetch_keys, keys_in_registry, needs_keys
from extauthz.explain.diagnosis.mistakes.table import markdown_of_mistakes
from extauthz.explain.explained import Asked, Explained, as_dict, differences, explain, outcome_of, told_of_captured
from extauthz.explain.fact import parse_moment
from extauthz.explain.reading import UnreadableRequest, read_request
from extauthz.explain.terminal import print_explained, print_under
from extauthz.observe.capture.configured import capture_folder
from extauthz.observe.capture.folder import Captured
from extauthz.registry.database.sealing import MasterKeyFault, SealBroken
from extauthz.registry.database.store import StoreFault
from extauthz.wire.asking import Entrance, question

_REQUEST_ID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def explain_check(
    request: str = typer.Argument(
        "-",
        help="A curl command line, or a file with one, a HAR entry or a raw HTTP request; - reads standard input. "
        "Or the request id of a check that `extauthz capture` kept.",
    ),
    config: Path = typer.Option(Path("extauthz.yaml"), "--config", "-c", help="The configuration file (YAML)."),
    at: str | None = typer.Option(None, "--at", help="Decide at this time: 2027-01-31T12:00:00Z, or milliseconds."),
    under: Path | None = typer.Option(None, "--under", help="Show how the outcome differs under this configuration."),
    network: Network | None = typer.Option(None, "--network", help="The network of the listener, where it states one."),
    context: list[str] = typer.Option(
        [], "--context", metavar="KEY=VALUE", help="Of Envoy's context_extensions, such as extauthz.api; repeatable."
    ),
    client_address: str = typer.Option("127.0.0.1", "--client-address", help="The address that the client calls from."),
    port: int = typer.Option(0, "--port", help="The port of Envoy's listener."),
    client_string: Path | None = typer.Option(
        None, "--client-string", help="A file with the string that the client signed, to be compared with ours."
    ),
    error_message: str = typer.Option(
        "", "--error-message", help="The X-Ca-Error-Message that the caller got: was it about this request?"
    ),
    entry: int = typer.Option(-1, "--entry", help="Which request of a HAR file, from 0; the last if not given."),
    mistakes: bool = typer.Option(False, "--mistakes", help="List the mistakes that are looked for, in Markdown."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
) -> None:
    """Explain the decision about one request, step by step, by the very code that serves; diagnose a wrong signature.

    Nothing is sent, and no nonce is used up. Exit code 0 where the request would pass, 1 where it would be denied, 2
    where it or the configuration cannot be read. No secret is ever printed.
    """
    if mistakes:
        typer.echo(markdown_of_mistakes())
        return
    try:
        now_ms = wall_clock_ms() if at is None else parse_moment(at)
        given = None if client_string is None else _file(client_string)
        if _REQUEST_ID.fullmatch(request):
            kept = _captured(request, config)
            asked = Asked(kept.question, Network(kept.network), given, error_message, told_of_captured(kept))
            now_ms = now_ms if at else kept.at_ms
        else:
            sent = read_request(_given(request), entry)
            entrance = Entrance(dict(_pair(one) for one in context), client_address, port)
            asked = Asked(question(sent, entrance), network, given, error_message)
    except UnreadableRequest as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    explained = _explained(asked, config, now_ms)
    other = None if under is None else _explained(asked, under, now_ms)
    if as_json:
        told = as_dict(explained)
        if other is not None:
            told["under"] = as_dict(other) | {"differences": [list(one) for one in differences(explained, other)]}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else 150)
        print_explained(console, explained)
        if under is not None and other is not None:
            print_under(console, explained, other, str(under))
    if outcome_of(explained.way.decision).startswith("deny"):
        raise typer.Exit(1)


def _explained(asked: Asked, path: Path, now_ms: int) -> Explained:
    config = _config(path)
    with ExitStack() as opened:
        try:
            snapshot = opened.enter_context(current_snapshot(config))
        except (StoreFault, SealBroken, MasterKeyFault, SQLAlchemyError, OSError) as error:
            typer.echo(f"the registry of {path} cannot be read: {type(error).__name__}: {error}", err=True)
            raise typer.Exit(2) from None
        keys_of = keys_in_registry(config)
        explained = explain(asked, snapshot, now_ms, keys_of)
        api = explained.way.decision.about.api
        if api is not None and needs_keys(api) and explained.way.decision.about.method:
            fetch_keys(snapshot, api)
            explained = explain(asked, snapshot, now_ms, keys_of)
        return explained


def _config(path: Path) -> ServiceConfig:
    try:
        return read_config(path, warn=lambda _: None)
    except typer.Exit:
        raise typer.Exit(2) from None  # 1 says that the request would be denied


def _captured(request_id: str, path: Path) -> Captured:
    folder = capture_folder(_config(path))
    kept = () if folder is None else folder.captured()
    found = next((one for one in kept if one.id == request_id.upper()), None)
    if found is None:
        raise UnreadableRequest(
            f"check {request_id} was not kept on this host; `extauthz capture on` keeps the next denied ones"
        )
    return found


def _given(request: str) -> bytes:
    if request == "-":
        return sys.stdin.buffer.read()
    if request.lstrip().startswith("curl "):
        return request.encode("utf-8", "surrogateescape")
    return _file(Path(request))


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableRequest(f"cannot read {path}: {error.strerror}") from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UnreadableRequest(f"--context {text!r} is not KEY=VALUE")
    return key, value
