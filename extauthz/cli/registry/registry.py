"""``extauthz registry``: the database itself and the master keys of its secrets."""

from pathlib import Path

import typer

from extauthz.cli.registry.access import ConfigOption, at_the_database, opened_registry
from extauthz.cli.registry.declaration import apply, export
from extauthz.registry.database.migrate import migrate as bring_up_to_date
from extauthz.registry.database.reseal import reseal as seal_anew
from extauthz.registry.database.sealing import new_master_key

registry = typer.Typer(no_args_is_help=True, help="The registry's database and its master keys.")
registry.command("apply")(apply)
registry.command("export")(export)


@registry.command("new-key")
def new_key() -> None:
    """Print a fresh master key, to be put into the file of `registry.master_keys`."""
    typer.echo(new_master_key())


@registry.command("migrate")
def migrate(config: Path = ConfigOption) -> None:
    """Make the tables of a new registry, or bring those of an older version up to date."""
    with opened_registry(config) as (store, sealer):
        bring_up_to_date(store, sealer)
    typer.echo("the registry is up to date")


@registry.command("reseal")
def reseal(config: Path = ConfigOption) -> None:
    """Seal every secret with the newest master key, so that the older ones can be removed."""
    with at_the_database(config) as desk:
        count = seal_anew(desk.store, desk.vault.sealer)
        typer.echo(f"{count} secret{'' if count == 1 else 's'} sealed anew; older master keys are not needed any more")
