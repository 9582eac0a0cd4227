"""Brings the tables of a registry to a revision of their own (Alembic), and a new registry into being."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store, StoreFault, Transaction, set_up

_FOLDER: Final = Path(__file__).parent / "migrations"


def migrate(store: Store, sealer: Sealer, target: str = "head") -> None:
    """Bring the tables to ``target``, in one transaction, and set a new registry up. Raises alembic's CommandError."""
    config = _config()
    with store.engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        if target != "head" and (target == "base" or target < (_current(connection) or "")):
            command.downgrade(config, target)
        else:
            command.upgrade(config, target)
        if target == "head":
            set_up(Transaction(connection, store.now_ms()), sealer)


def check_schema(store: Store) -> None:
    """Raise StoreFault unless the tables are those of this version."""
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    with store.reading() as view:
        found = _current(view)
    if found is None:
        raise StoreFault("the database holds no registry; `extauthz registry migrate` makes one")
    if found != wanted:
        raise StoreFault(
            f"the registry's tables are at {found} and this version needs {wanted}; run `extauthz registry migrate`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def _current(connection: object) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()  # type: ignore[arg-type]
