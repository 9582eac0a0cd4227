"""What every command over the registry shares: opening it, telling errors, printing records."""

import dataclasses
import getpass
import inspect
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from extauthz.cli.api_url import API_URL
from extauthz.cli.reading import read_config
from extauthz.cli.registry.remote import ApiFault, RemoteRegistry
from extauthz.config.registry.names_taken import names_in
from extauthz.config.sections.registry import registry_access
from extauthz.registry.database.migrate import check_schema
from extauthz.registry.database.sealing import MasterKeyFault, SealBroken, Sealer, Vault
from extauthz.registry.database.store import Store, StoreFault, vault_of
from extauthz.registry.errors import RegistryError
from extauthz.registry.rules import Actor, Role

Result = TypeVar("Result")

ConfigOption = typer.Option(
    None,
    "--config",
    "-c",
    envvar="EXTAUTHZ_CONFIG",
    help="The configuration file, whose `registry` is meant; or use `extauthz --api URL ...`.",
)
_WIDE: Final = 400
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
JsonOption = typer.Option(False, "--json", help="Print JSON for machines.")
YesOption = typer.Option(False, "--yes", "-y", help="Do it without asking.")
UntilOption = typer.Option(None, "--until", help="When it ends: 2027-01-31, 2027-01-31T12:00:00Z, or +30d.")


class Desk(Protocol):
    """A registry that commands work at: an open database, or the admin API of another machine."""

    def do(self, service: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Call a service of the registry, with the arguments behind the actor."""
        ...


class LocalDesk:
    """An open registry and who works at it: whoever may read its master keys may do everything."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self.store = store
        self.vault = vault
        self.actor = Actor(f"local:{getpass.getuser()}", Role.ADMIN)

    def do(self, service: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Call a service of the registry in a transaction of its own, or in a view of one moment."""
        names = list(inspect.signature(service).parameters)
        means = {"vault": self.vault, "actor": self.actor}
        given = [means[name] for name in names[1 : names.index("actor") + 1]]
        with self.store.changing() if names[0] == "tx" else self.store.reading() as first:
            return service(first, *given, *arguments, **options)


@contextmanager
def at_the_desk(config: Path | None) -> Iterator[Desk]:
    """The registry that a command is to work at: of a configuration file, or behind ``extauthz --api URL``.

    What goes wrong is told in one line, and the command exits with 1.
    """
    api = API_URL.get()
    if (api is None) == (config is None):
        typer.echo("say which registry is meant: `--config FILE` for its database, or `extauthz --api URL`", err=True)
        raise typer.Exit(1)
    if api is None:
        with at_the_database(config) as desk:
            yield desk
        return
    with told_errors():
        remote = RemoteRegistry(api)
        try:
            yield remote
        finally:
            remote.close()


@contextmanager
def at_the_database(config: Path | None, statement_limit_s: float | None = None) -> Iterator[LocalDesk]:
    """The registry of a configuration file, opened. What goes wrong is told in one line, and the command exits."""
    with opened_registry(config, statement_limit_s) as (store, sealer):
        check_schema(store)
        with store.reading() as view:
            vault = vault_of(view, sealer)
        yield LocalDesk(store, vault)


@contextmanager
def opened_registry(config: Path | None, statement_limit_s: float | None = None) -> Iterator[tuple[Store, Sealer]]:
    """The database of a configuration file, migrated or not."""
    if config is None:
        typer.echo("this needs the registry's database itself; name it: `--config FILE`", err=True)
        raise typer.Exit(1)
    read = read_config(config)
    section = read.file.registry
    if section is None:
        typer.echo(
            f"{config} has no `registry`; add one: `registry: {{database: sqlite:///registry.db, ...}}`", err=True
        )
        raise typer.Exit(1)
    access = registry_access(section, config.parent)
    with told_errors():
        store = Store(access.url, statement_limit_s=statement_limit_s, elsewhere=names_in(read))
        try:
            yield store, Sealer(access.master_keys)
        finally:
            store.close()


@contextmanager
def told_errors() -> Iterator[None]:
    """Turn what the registry raises into a line on standard error and exit code 1."""
    try:
        yield
    except (RegistryError, StoreFault, SealBroken, MasterKeyFault, ApiFault) as error:
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


def moment_ms(text: str | None, now_ms: int | None = None) -> int | None:
    """A moment that a person wrote, in milliseconds since 1970; ``+`` counts from ``now_ms``, the present.

    Raises typer.BadParameter.
    """
    if text is None:
        return None
    if now_ms is None:
        now_ms = time.time_ns() // 1_000_000
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
