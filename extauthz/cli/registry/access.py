"""What every command over the registry shares: opening it, telling errors, printing records."""

import dataclasses
import getpass
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from extauthz.cli.reading import read_config
from extauthz.config.sections.registry import registry_access
from extauthz.registry.errors import RegistryError
from extauthz.registry.migrate import check_schema
from extauthz.registry.rules import Actor, Role
from extauthz.registry.sealing import MasterKeyFault, SealBroken, Sealer, Vault
from extauthz.registry.store import Store, StoreFault, Transaction, vault_of

Result = TypeVar("Result")

ConfigOption = typer.Option(
    ..., "--config", "-c", envvar="EXTAUTHZ_CONFIG", help="The configuration file, whose `registry` is meant."
)
_WIDE: Final = 400
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
JsonOption = typer.Option(False, "--json", help="Print JSON for machines.")
YesOption = typer.Option(False, "--yes", "-y", help="Do it without asking.")
UntilOption = typer.Option(None, "--until", help="When it ends: 2027-01-31, 2027-01-31T12:00:00Z, or +30d.")


class Desk:
    """An open registry and who works at it: whoever may read its master keys may do everything."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self.store = store
        self.vault = vault
        self.actor = Actor(f"local:{getpass.getuser()}", Role.ADMIN)

    def change(self, act: Callable[[Transaction], Result]) -> Result:
        """Do something in a transaction of its own."""
        with self.store.changing() as tx:
            return act(tx)

    def look(self, look: Callable[[Connection], Result]) -> Result:
        """Look something up."""
        with self.store.reading() as view:
            return look(view)


@contextmanager
def at_the_desk(config: Path, statement_limit_s: float | None = None) -> Iterator[Desk]:
    """The registry of a configuration file. What goes wrong is told in one line, and the command exits with 1."""
    with opened_registry(config, statement_limit_s) as (store, sealer):
        check_schema(store)
        with store.reading() as view:
            vault = vault_of(view, sealer)
        yield Desk(store, vault)


@contextmanager
def opened_registry(config: Path, statement_limit_s: float | None = None) -> Iterator[tuple[Store, Sealer]]:
    """The database of a configuration file, migrated or not."""
    section = read_config(config).file.registry
    if section is None:
        typer.echo(
            f"{config} has no `registry`; add one: `registry: {{database: sqlite:///registry.db, ...}}`", err=True
        )
        raise typer.Exit(1)
    access = registry_access(section, config.parent)
    with told_errors():
        store = Store(access.url, statement_limit_s=statement_limit_s)
        try:
            yield store, Sealer(access.master_keys)
        finally:
            store.close()


@contextmanager
def told_errors() -> Iterator[None]:
    """Turn what the registry raises into a line on standard error and exit code 1."""
    try:
        yield
    except (RegistryError, StoreFault, SealBroken, MasterKeyFault) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except DBAPIError as error:
        typer.echo(f"the database cannot be used: {str(error.orig).splitlines()[0]}", err=True)
        raise typer.Exit(1) from None


def show(records: Sequence[Any], as_json: bool, empty: str = "nothing found") -> None:
    """Print records as a table, or as JSON."""
    rows = [dataclasses.asdict(record) for record in records]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(empty)
        return
    table = Table(*(name.replace("_", " ") for name in rows[0]), box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    if not console.is_terminal:  # whoever reads a file or a pipe has no width
        console = Console(width=_WIDE)
    console.print(table)


def show_one(record: Any, as_json: bool, **shown_once: str) -> None:
    """Print one record, and what is shown this one time only."""
    fields = {**dataclasses.asdict(record), **shown_once}
    if as_json:
        typer.echo(json.dumps(fields, indent=2))
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")
    if shown_once:
        typer.echo("Keep it now: it is not shown again.", err=True)


def confirm(question: str, yes: bool) -> None:
    """Ask before what cannot be undone; exit with 1 unless the answer is yes."""
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)


def moment_ms(text: str | None, now_ms: int) -> int | None:
    """A moment that a person wrote, in milliseconds since 1970. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        if text.startswith("+") and text[-1:] in "dhm":
            unit = {"d": "days", "h": "hours", "m": "minutes"}[text[-1]]
            return now_ms + int(timedelta(**{unit: float(text[1:-1])}).total_seconds() * 1000)
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no moment; write 2027-01-31, 2027-01-31T12:00:00Z, or +30d") from None


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(item)}" for name, item in value.items() if item not in ("", None))
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return value[:16].replace("T", " ")
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
