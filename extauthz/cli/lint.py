"""``extauthz lint``: what does a sound configuration leave open, unused or forgotten?"""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from extauthz.cli.registry.access import at_the_database
from extauthz.config import ConfigError, ServiceConfig, load
from extauthz.config.problems import show_path
from extauthz.lint.examine import MISTAKE, RULES, examine, mistakes
from extauthz.lint.finding import DAY_MS, Finding, Level, Rule, Subject
from extauthz.lint.registry_facts import RegistryFacts, registry_facts
from extauthz.lint.report import as_annotations, as_json, as_markdown, as_sarif

_STYLES: Final = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.NOTE: "cyan"}
_QUERY_LIMIT_S: Final = 30.0


def lint(
    file: Path | None = typer.Argument(None, help="The configuration file (YAML)."),
    ignore: list[str] = typer.Option([], metavar="ID", help="A finding to leave out; may be repeated."),
    days: int = typer.Option(30, min=1, max=3650, help="An end within so many days is near."),
    strict: bool = typer.Option(False, "--strict", help="Let warnings fail too; notes never do."),
    offline: bool = typer.Option(False, "--offline", help="Do not look into the registry that the file names."),
    without_secrets: bool = typer.Option(
        False, "--without-secrets", help="Do not look for what {env: ..}, {file: ..} and `tls` name; implies --offline."
    ),
    json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
    sarif: bool = typer.Option(False, "--sarif", help="Print SARIF 2.1.0, as code scanning takes it."),
    github: bool = typer.Option(False, "--github", help="Print annotations of a GitHub workflow."),
    rules: bool = typer.Option(
        False, "--rules", help="Print the table of docs/lint.md instead: all that is looked for."
    ),
) -> None:
    """Name what a configuration, and its registry, leave open, unused or forgotten: where, why, and the cure.

    Exit 0 when there are no errors (with --strict: no warnings either), 1 when there are, 2 when the lint cannot look:
    an unknown finding is named, two formats are asked for, or the registry cannot be read.
    """
    if rules:
        typer.echo(as_markdown((MISTAKE, *RULES)))
        return
    if file is None:
        typer.echo("name a configuration file", err=True)
        raise typer.Exit(2)
    unknown = sorted(set(ignore) - {rule.id for rule in RULES})
    if unknown:
        typer.echo(f"no finding is called {', '.join(unknown)}", err=True)
        raise typer.Exit(2)
    if json + sarif + github > 1:
        typer.echo("choose one of --json, --sarif and --github", err=True)
        raise typer.Exit(2)
    try:
        config = load(file, without_secrets=without_secrets)
    except ConfigError as error:
        findings = mistakes(error.problems)
    else:
        now_ms, soon_ms = time.time_ns() // 1_000_000, days * DAY_MS
        facts = None if offline or without_secrets else _facts(config, now_ms, soon_ms)
        findings = examine(Subject(config, now_ms, soon_ms, facts), ignore)
    if json:
        typer.echo(as_json(findings))
    elif sarif:
        typer.echo(as_sarif(findings, (*RULES, MISTAKE)))
    elif github:
        typer.echo(as_annotations(findings), nl=bool(findings))
    else:
        _print(file, findings)
    fatal = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
    if any(finding.rule.level in fatal for finding in findings):
        raise typer.Exit(1)


def _facts(config: ServiceConfig, now_ms: int, soon_ms: int) -> RegistryFacts | None:
    if config.file.registry is None:
        return None
    try:
        with at_the_database(config.path, _QUERY_LIMIT_S) as desk, desk.store.reading() as view:
            return registry_facts(view, config.snapshot.gateway.apis, now_ms, soon_ms)
    except typer.Exit:  # told already
        raise typer.Exit(2) from None


def _print(file: Path, findings: list[Finding]) -> None:
    together: dict[Rule, list[Finding]] = {}
    for finding in findings:
        together.setdefault(finding.rule, []).append(finding)
    table = Table(show_lines=True)
    for title in ("finding, and where", "why, and the cure"):
        table.add_column(title, overflow="fold")
    for rule, found in together.items():
        left = [f"[{_STYLES[rule.level]}]{rule.level}: {rule.id}[/]"]
        for one in found:
            place = f"line {one.line}: {show_path(one.path)}" if one.path else f"line {one.line}"
            left.append(escape(f"{place}: {one.detail}"))
        table.add_row("\n".join(left), f"{escape(rule.why)}\n[green]{escape(rule.cure)}[/]")
    if findings:
        Console(width=None if sys.stdout.isatty() else 120).print(table)
    count = Counter(finding.rule.level for finding in findings)
    typer.echo(f"{file}: " + ", ".join(f"{count[level]} {level}s" for level in Level))
