"""``extauthz reasons``: every reason for a denial, what the caller is told, and what to look at."""

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from extauthz.domain.reason import CATALOGUE, Reason
from extauthz.reasons.page import page, pages


def reasons(
    label: str = typer.Argument("", help="Show one reason only: the label in logs and metrics."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
    as_markdown: bool = typer.Option(False, "--markdown", help="Print the table of docs/errors.md."),
    write_pages: Path | None = typer.Option(
        None, "--pages", metavar="DIR", help="Write a page for each reason into a folder, as in docs/reasons."
    ),
) -> None:
    """Explain the reasons that logs, metrics and `X-Ca-Error-Code` show."""
    if write_pages is not None:
        write_pages.mkdir(parents=True, exist_ok=True)
        for name, text in pages(CATALOGUE).items():
            (write_pages / name).write_text(text, encoding="utf-8")
        typer.echo(f"{len(CATALOGUE)} pages and their index are in {write_pages}")
        return
    chosen = [reason for reason in CATALOGUE.values() if label in ("", reason.label)]
    if not chosen:
        typer.echo(f"no reason is called {label!r}; `extauthz reasons` lists all", err=True)
        raise typer.Exit(1)
    if as_json:
        rows = [
            {
                "reason": reason.label,
                "vpc": reason.vpc._asdict(),
                "legacy": reason.legacy._asdict(),
                "provisional": reason.provisional,
                "advice": reason.advice,
            }
            for reason in chosen
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    if as_markdown:
        typer.echo(markdown(chosen))
        return
    table = Table("reason", "code", "HTTP", "message", "look at")
    for reason in chosen:
        code = reason.vpc.code + (" (provisional)" if reason.provisional else "")
        table.add_row(reason.label, code, str(reason.vpc.status), reason.vpc.message, reason.advice)
    Console().print(table)
    if label:
        Console().print(Markdown(page(chosen[0])))


def markdown(chosen: list[Reason]) -> str:
    """The reasons as a Markdown table."""
    lines = ["| reason | code | HTTP | message | legacy | look at |", "|---|---|---|---|---|---|"]
    for reason in chosen:
        mark = " *" if reason.provisional else ""
        legacy = f"{reason.legacy.status} {reason.legacy.message}"
        cells = (
            f"`{reason.label}`",
            reason.vpc.code + mark,
            reason.vpc.status,
            reason.vpc.message,
            legacy,
            reason.advice,
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)
