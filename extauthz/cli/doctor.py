"""``extauthz doctor``: what in my Envoy, Istio or Envoy Gateway configuration would hurt?"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from extauthz.config import ConfigError
from extauthz.config.problems import show_path
from extauthz.config.source import Source
from extauthz.config.validate import validate
from extauthz.envoy.doctor import (
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

_STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def doctor(
    file: Path = typer.Argument(
        ...,
        help="Envoy bootstrap or config dump, Istio or Envoy Gateway resources: YAML or JSON; - reads standard input.",
    ),
    config: Path | None = typer.Option(None, "--config", "-c", help="The service's configuration, to know its APIs."),
    workers: int = typer.Option(1, min=1, help="Processes that answer checks."),
    ignore: list[str] = typer.Option([], metavar="ID", help="A finding to leave out; may be repeated."),
    strict: bool = typer.Option(False, "--strict", help="Let warnings fail too; notes never do."),
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
    fatal = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(finding.severity in fatal for finding in findings):
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
        "severity": finding.severity.value,
        "path": show_path(spot.path[1:]),
        "document": spot.path[0],
        "line": documents.line(spot.path),
        "detail": spot.detail,
        "why": rule.why,
        "instead": finding.instead,
    }


def _print(file: Path, findings: list[Finding], documents: Documents) -> None:
    table = Table(show_lines=True)
    for title in ("finding, and where", "why, and what to write instead"):
        table.add_column(title, overflow="fold")
    for (rule, severity, instead), spots in _together(findings).items():
        left = [f"[{_STYLES[severity]}]{severity}: {rule.id}[/]"]
        for spot in spots:
            detail = f" ({spot.detail})" if spot.detail else ""
            left.append(_plain(f"line {documents.line(spot.path)}: {show_path(spot.path[1:])}{detail}"))
        table.add_row("\n".join(left), f"{_plain(rule.why)}\n[green]{_plain(instead)}[/]")
    if findings:
        Console(width=None if sys.stdout.isatty() else 120).print(table)
    count = Counter(finding.severity for finding in findings)
    typer.echo(f"{file}: " + ", ".join(f"{count[severity]} {severity}s" for severity in Severity))


def _together(findings: list[Finding]) -> dict[tuple[Rule, Severity, str], list[Spot]]:
    """Findings that say the same about different places."""
    spots: dict[tuple[Rule, Severity, str], list[Spot]] = {}
    for finding in findings:
        spots.setdefault((finding.rule, finding.severity, finding.instead), []).append(finding.spot)
    return spots


def _plain(text: str) -> str:
    """Text in which rich finds no markup of its own."""
    return text.replace("[", "\\[")
