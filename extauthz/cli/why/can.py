"""``extauthz can``, ``who-can`` and ``what-can``: who may call what, and why not, by file and registry."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import typer

from extauthz.access.question import Verdict
from extauthz.access.sources import Sources
from extauthz.cli.api_url import API_URL
from extauthz.cli.reading import read_config
from extauthz.cli.registry.access import (
    ConfigOption,
    JsonOption,
    at_the_database,
    at_the_desk,
    moment_ms,
    show,
    show_one,
)
from extauthz.domain.api import Api
from extauthz.domain.request import Network, Stage
from extauthz.registry import questions

StageOption = typer.Option(Stage.RELEASE, "--stage", case_sensitive=False, help="The stage of the API.")
EveryStageOption = typer.Option(None, "--stage", case_sensitive=False, help="Of one stage only; default: every one.")
NetworkOption = typer.Option(None, "--network", case_sensitive=False, help="From one network only; default: any.")
AtOption = typer.Option(None, "--at", help="At another moment: 2027-01-31, 2027-01-31T12:00:00Z, or +30d.")
LimitOption = typer.Option(100, "--limit", min=1, max=100_000, help="So many apps of the registry are looked at.")


def can(
    app: str = typer.Argument(..., help="An app's id."),
    api: str = typer.Argument(..., help="An API's id."),
    stage: Stage = StageOption,
    network: Network | None = NetworkOption,
    at: str | None = AtOption,
    address: str = typer.Option("", "--from", help="The client's address, for IP control; else that is not asked."),
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Say why an app may or may not call an API, by the steps that decide, over the file and its registry.

    Exits with 0 if it may, 2 if it may not, 1 if that cannot be said. Over `--api URL`, or of an API that the file does
    not have, it is as far as the registry decides it, now.
    """
    now_ms = _moment(at)
    if config is None or API_URL.get() is not None:
        _told_by_registry(config, app, api, stage, at, network, address, as_json)
        return
    with _sources(config) as sources:
        known = sources.snapshot.gateway.apis.get(api)
        if known is not None:
            _check_app(sources, app)
            networks = tuple(Network) if network is None else (network,)
            verdict = sources.verdict(app, known, stage, networks, now_ms, address)
            show_one(verdict, as_json)
            if not verdict.may:
                raise typer.Exit(2)
            return
        if sources.registry is None:
            _api(sources, api)
    _told_by_registry(config, app, api, stage, at, network, address, as_json)


def who_can(
    api: str = typer.Argument(..., help="An API's id."),
    stage: Stage | None = EveryStageOption,
    network: Network | None = NetworkOption,
    at: str | None = AtOption,
    limit: int = LimitOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """List who may call an API: the apps by stage and network, `*` where anybody may."""
    now_ms = _moment(at)
    if config is None or API_URL.get() is not None:
        with at_the_desk(config) as desk:
            wanted = None if stage is None else stage.value
            show(desk.do(questions.who_may_call, api, now_ms, stage=wanted, limit=limit), as_json)
        return
    with _sources(config) as sources:
        known = _api(sources, api)
        stages = sorted(known.stages) if stage is None else [stage]
        _list(list(sources.who_can(known, stages, _networks(network), now_ms, limit)), as_json, "nobody may call it")
        if sources.registry is not None and len(sources.registry.apps_granted(api, limit + 1)) > limit:
            typer.echo(
                f"only the first {limit} apps of the registry with a grant were looked at; raise --limit", err=True
            )


def what_can(
    app: str = typer.Argument(..., help="An app's id."),
    network: Network | None = NetworkOption,
    at: str | None = AtOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """List what an app may call, by API, stage and network, what anybody may call included."""
    now_ms = _moment(at)
    if config is None or API_URL.get() is not None:
        with at_the_desk(config) as desk:
            show(desk.do(questions.may_call, app, now_ms), as_json)
        return
    with _sources(config) as sources:
        _check_app(sources, app)
        _list(list(sources.what_can(app, _networks(network), now_ms)), as_json, "it may call nothing")


def _told_by_registry(
    config: Path | None,
    app: str,
    api: str,
    stage: Stage,
    at: str | None,
    network: Network | None,
    address: str,
    as_json: bool,
) -> None:
    if at or network or address:
        typer.echo(
            "the registry alone knows neither --at nor --network nor --from; name a file that has the API", err=True
        )
        raise typer.Exit(1)
    with at_the_desk(config) as desk:
        verdict = desk.do(questions.can, app, api, stage.value, _moment(None))
        show_one(verdict, as_json)
        if not verdict.may:
            raise typer.Exit(2)


@contextmanager
def _sources(config: Path) -> Iterator[Sources]:
    loaded = read_config(config, lambda _: None)
    if loaded.file.registry is None:
        yield Sources.of(loaded, None)
        return
    with at_the_database(config) as desk, desk.store.reading() as view:
        yield Sources.of(loaded, view)


def _api(sources: Sources, api_id: str) -> Api:
    known = sources.snapshot.gateway.apis
    if api_id not in known:
        _unknown("API", api_id, list(known))
    return known[api_id]


def _check_app(sources: Sources, app_id: str) -> None:
    if sources.snapshot.directory.app(app_id) is None:
        _unknown("app", app_id, [app.id for app in sources.config.file.apps])


def _unknown(what: str, wanted: str, known: list[str]) -> None:
    close = get_close_matches(wanted, known, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    typer.echo(f"{what} `{wanted}` does not exist{hint}", err=True)
    raise typer.Exit(1)


def _list(verdicts: list[Verdict], as_json: bool, empty: str) -> None:
    shown = [field.name for field in dataclasses.fields(Verdict) if field.name not in ("may", "reason")]
    rows = verdicts if as_json else [_Row(*(getattr(one, name) for name in shown)) for one in verdicts]
    show(rows, as_json, empty)


@dataclasses.dataclass(frozen=True)
class _Row:
    """A verdict in a list of those that may."""

    app: str
    api: str
    stage: str
    network: str
    why: str
    methods: str
    until: str | None
    condition: str


def _networks(network: Network | None) -> tuple[Network, ...]:
    return tuple(Network) if network is None else (network,)


def _moment(at: str | None) -> int:
    return moment_ms(at) or time.time_ns() // 1_000_000
