"""``extauthz rehearse``: who would gain or lose access under another configuration, by yesterday's decision log?"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from extauthz.access.registry_view import RegistryView, joined
from extauthz.cli.reading import read_config
from extauthz.cli.registry.access import at_the_database, moment_ms
from extauthz.domain.snapshot import Snapshot
from extauthz.rehearse.again import Change
from extauthz.rehearse.rehearsal import rehearse as run
from extauthz.rehearse.tally import Group, Tally, most_common

_SHOWN: Final = 20
_STYLES: Final = {Change.LOSES: "bold red", Change.GAINS: "yellow"}
NOT_AGAIN: Final = (
    "Taken from the log and not decided again: signatures, tokens, bodies, nonces and the network of a call. So of new "
    "rules of `digest` only `strict: on` shows here, and none of a JWT plug-in."
)


def rehearse(
    log: list[Path] = typer.Option(..., "--log", help="A decision log, also .gz or -; may be repeated."),
    config: Path = typer.Option(..., "--config", "-c", help="The configuration to decide by."),
    at: str | None = typer.Option(
        None, "--at", help="Decide all of it at one moment: 2027-01-31, +0m; else each at its own."
    ),
    fail_above: str | None = typer.Option(
        None, "--fail-above", metavar="N|P%", help="Exit 1 if more checks than this would change, or more percent."
    ),
    offline: bool = typer.Option(False, "--offline", help="Do not ask the registry that the file names."),
    without_secrets: bool = typer.Option(
        False, "--without-secrets", help="Do without secrets outside the file, as in CI."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
) -> None:
    """Decide the checks of a decision log by a configuration, and say who would lose or gain access, by API and app.

    Exits with 0, with 1 above the threshold, and with 2 where a log or the registry cannot be read.
    """
    most = _threshold(fail_above)
    at_ms = moment_ms(at)
    loaded = read_config(config, lambda _: None, without_secrets=without_secrets)
    asks_registry = loaded.file.registry is not None and not offline and not without_secrets
    missing = loaded.file.registry is not None and not asks_registry
    try:
        if asks_registry:
            with at_the_database(config) as desk, desk.store.reading() as view:
                tally = _run(log, joined(loaded.snapshot, RegistryView(view)), at_ms, missing)
        else:
            tally = _run(log, loaded.snapshot, at_ms, missing)
    except OSError as error:
        typer.echo(f"cannot read {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    except typer.Exit:
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(_as_dict(tally), indent=2))
    else:
        _print(tally)
    if most is not None and tally.changed > most(tally.checks):
        raise typer.Exit(1)


def _threshold(text: str | None) -> Any:
    """How many may change, from the number of checks; None: any number."""
    if text is None:
        return None
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number of checks nor a percentage such as 0.1%") from None
    return (lambda checks: checks * number / 100) if text.endswith("%") else (lambda _: number)


def _run(logs: list[Path], snapshot: Snapshot, at_ms: int | None, missing: bool) -> Tally:
    size = sum(log.stat().st_size for log in logs if str(log) != "-")
    with _bar(size if not any(log.suffix == ".gz" or str(log) == "-" for log in logs) else None) as advance:
        return run(logs, snapshot, at_ms, missing, advance)


@contextmanager
def _bar(total: int | None) -> Iterator[Any]:
    """A progress bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("deciding again"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda read: bar.advance(task, read)


def _as_dict(tally: Tally) -> dict[str, Any]:
    return {
        "lines": tally.lines,
        "unreadable": tally.unreadable,
        "checks": round(tally.checks),
        **{change.value: round(tally.counts[change]) for change in Change},
        "unknown_because": {why: round(count) for why, count in most_common(tally.unknown)},
        "not_decided_again": NOT_AGAIN,
        "changes": [
            {
                "change": group.change.value,
                "api": group.api or None,
                "app": group.app or None,
                "checks": round(group.checks),
                "reasons": [
                    {"was": was, "would_be": would, "checks": round(count)}
                    for (was, would), count in most_common(group.reasons)
                ],
                "examples": [{"request_id": one.id, "http": one.http} for one in group.examples],
            }
            for group in tally.groups()
        ],
    }


def _print(tally: Tally) -> None:
    groups = tally.groups()
    table = Table("change", "API", "app", "checks", "why", "for example")
    for group in groups[:_SHOWN]:
        table.add_row(
            f"[{_STYLES[group.change]}]{group.change}[/]", escape(group.api or "-"), escape(group.app or "-"),
            f"{group.checks:,.0f}", escape(_why(group)), escape(_examples(group)),
        )  # fmt: skip
    if groups:
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    if len(groups) > _SHOWN:
        typer.echo(f"and {len(groups) - _SHOWN} more; --json lists all")
    counts = ", ".join(f"{tally.counts[change]:,.0f} {change}" for change in Change)
    typer.echo(f"{tally.checks:,.0f} checks: {counts}")
    for why, count in most_common(tally.unknown):
        typer.echo(f"  unknown, {count:,.0f}: {why}")
    if tally.unreadable:
        typer.echo(f"{tally.unreadable:,} of {tally.lines:,} lines are none of a decision log")
    typer.echo(NOT_AGAIN)


def _why(group: Group) -> str:
    return "\n".join(f"{was} -> {would} ({count:,.0f})" for (was, would), count in most_common(group.reasons)[:3])


def _examples(group: Group) -> str:
    return "\n".join(f"{one.http[:60]}\n{one.id}" for one in group.examples[:1])
