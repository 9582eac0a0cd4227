"""``extauthz doctor``: what in my Envoy, Istio or Envoy Gateway configuration would hurt?"""

import json
import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from extauthz.config import ConfigError
from extauthz.config.problems import show_path
from extauthz.config.source import Source
from extauthz.config.validate import validate
from extauthz.doctor import (
    RULES,
    Documents,
    Finding,
    Rule,
    ServiceFacts,
    Severity,
    Spot,
    UnreadableError,
    examine,
    facts_from,
    read,
)


def doctor(
    file: Path = typer.Argument(
        ...,
        help="Envoy bootstrap or config dump, Istio or Envoy Gateway resources: YAML or JSON; - reads standard input.",
    ),
    config: Path | None = typer.Option(None, "--config", "-c", help="The service's configuration, to know its APIs."),
    workers: int = typer.Option(1, min=1, help="Processes that answer checks."),
    ignore: list[str] = typer.Option([], metavar="ID", help="A finding to leave out; may be repeated."),
    strict: bool = typer.Option(False, "--strict", help="Let warnings fail too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
) -> None:
    """Name what would hurt in the configuration of whatever asks the service: where, why, and what to write instead.

    Exit 0 when there are no errors (with --strict: no warnings either), 1 when there are, 2 when a file cannot be read.
    """
    unknown = sorted(set(ignore) - {rule.id for rule in RULES})
    if unknown:
        typer.echo(f"no finding is called {', '.join(unknown)}", err=True)
        raise typer.Exit(2)
    try:
        documents = read(file)
        findings = examine(documents.documents, _facts(config, workers), ignore)
    except UnreadableError as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps([_as_dict(finding, documents) for finding in findings], indent=2))
    else:
        _print(file, findings, documents)
    if any(strict or finding.rule.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(1)


def _facts(config: Path | None, workers: int) -> ServiceFacts:
    if config is None:
        return ServiceFacts(workers=workers)
    try:
        validated = validate(Source(config))
        if validated.problems:
            raise ConfigError(validated.problems)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None
    return facts_from(validated.file, workers)


def _as_dict(finding: Finding, documents: Documents) -> dict[str, object]:
    rule, spot = finding.rule, finding.spot
    return {
        "id": rule.id,
        "severity": rule.severity.value,
        "path": show_path(spot.path[1:]),
        "document": spot.path[0],
        "line": documents.line(spot.path),
        "detail": spot.detail,
        "why": rule.why,
        "instead": rule.instead,
    }


def _print(file: Path, findings: list[Finding], documents: Documents) -> None:
    table = Table(show_lines=True)
    for title in ("finding, and where", "why, and what to write instead"):
        table.add_column(title, overflow="fold")
    for rule, spots in _by_rule(findings).items():
        style = "bold red" if rule.severity is Severity.ERROR else "yellow"
        left = [f"[{style}]{rule.severity}: {rule.id}[/]"]
        for spot in spots:
            detail = f" ({spot.detail})" if spot.detail else ""
            left.append(_plain(f"line {documents.line(spot.path)}: {show_path(spot.path[1:])}{detail}"))
        table.add_row("\n".join(left), f"{_plain(rule.why)}\n[green]{_plain(rule.instead)}[/]")
    if findings:
        Console(width=None if sys.stdout.isatty() else 120).print(table)
    errors = sum(finding.rule.severity is Severity.ERROR for finding in findings)
    typer.echo(f"{file}: {errors} errors, {len(findings) - errors} warnings")


def _by_rule(findings: list[Finding]) -> dict[Rule, list[Spot]]:
    spots: dict[Rule, list[Spot]] = {}
    for finding in findings:
        spots.setdefault(finding.rule, []).append(finding.spot)
    return spots


def _plain(text: str) -> str:
    """Text in which rich finds no markup of its own."""
    return text.replace("[", "\\[")
