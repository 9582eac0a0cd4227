"""``extauthz reasons``: every reason for a denial, what the caller is told, and what to look at."""

import json
import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from extauthz.domain.reason import CATALOGUE, Reason
from extauthz.reasons.page import page, pages


def reasons(
    wanted: str = typer.Argument(
        "",
        metavar="[REASON]",
        help="Of one only: its label in logs and metrics, or the code that the caller was shown.",
    ),
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
    chosen = [
        reason for reason in CATALOGUE.values() if wanted in ("", reason.label) or wanted.upper() in _codes(reason)
    ]
    if not chosen:
        typer.echo(f"no reason and no code is called {wanted!r}; `extauthz reasons` lists all", err=True)
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
    if wanted or not sys.stdout.isatty():
        typer.echo("\n\n".join(_told(reason) for reason in chosen))
        if len(chosen) == 1:
            _show_page(chosen[0])
        return
    table = Table("reason", "code", "HTTP", "message", "look at")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for reason in chosen:
        table.add_row(*(escape(cell) for cell in (reason.label, _code(reason), str(reason.vpc.status))),
                      escape(reason.vpc.message), escape(reason.advice))  # fmt: skip
    Console().print(table)


def _told(reason: Reason) -> str:
    """One reason, a fact a line: nothing is cut, however narrow the terminal is."""
    return "\n".join(
        (
            reason.label,
            f"  caller is told  {reason.vpc.status} {_code(reason)} {reason.vpc.message}",
            f"  classic         {reason.legacy.status} {reason.legacy.message}",
            f"  look at         {reason.advice}",
        )
    )


def _show_page(reason: Reason) -> None:
    """The page of a reason: its cause, how to see it, and the cure."""
    if sys.stdout.isatty():
        Console().print(Markdown(page(reason)))
    else:
        typer.echo(f"\n{page(reason)}", nl=False)


def _code(reason: Reason) -> str:
    return reason.vpc.code + (" (provisional)" if reason.provisional else "")


def _codes(reason: Reason) -> set[str]:
    return {reason.vpc.code, reason.legacy.code} - {""}


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
