"""The database of the registry: SQLite in a file, or PostgreSQL by URL, with one order of changes for all who read.

Commit order is revision order. A sequence would hand out its numbers before a transaction commits, so a slow one could
commit a lower number after a reader has seen a higher one, and would be missed for ever. Here each changing transaction
takes its number, as its last step, from the one row of ``revision``, whose lock it then holds until it has committed:
whoever sees revision n sees every revision below it.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError

from extauthz.registry.database.sealing import Sealer, Vault, new_hash_key
from extauthz.registry.database.tables import CHANGES, REVISION
from extauthz.registry.errors import Conflict

_BUSY_S: Final = 10.0
"""How long a writer of SQLite waits for another one, in seconds."""
_POOL: Final = 8
_ROLLED_BACK: Final = ("40001", "40P01")
"""PostgreSQL's states of a transaction that met another one: serialization failure, and deadlock."""
_DISK_FULL: Final = "53100"
"""PostgreSQL's state of a statement for which there was no room on the disk."""
_SAME_MOMENT: Final = "somebody else changed the same entries at the same moment; read them and try again"
CHANNEL: Final = "extauthz_registry"
"""On which PostgreSQL tells of each change."""
_PATIENCE: Final = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 3}
"""So that a server that fell silent is noticed; the first and the last two are seconds, the second milliseconds."""


Elsewhere = Callable[[str, str], str | None]
"""Where a name stands outside the registry, if it does: of a kind (app, key or code) and the name itself."""


def nowhere(_kind: str, _name: str) -> None:
    """Of a registry that is all there is."""


class StoreFault(Exception):
    """A database that cannot be used; the message says why and what to do."""


class Transaction:
    """One change of the registry: all of it is committed, with a revision of its own, or none."""

    def __init__(
        self, connection: Connection, now_ms: int, request_id: str = "", elsewhere: Elsewhere = nowhere
    ) -> None:
        self.connection = connection
        self.elsewhere = elsewhere
        self.now_ms = now_ms
        """Milliseconds since 1970, one moment for the whole transaction."""
        self.request_id = request_id
        """Of the request that asked for it, for the audit trail; at most 36 characters."""
        self._changed: dict[tuple[str, str], None] = {}

    def changed(self, kind: str, key: str) -> None:
        """Note that an entry of the directory is new, different or gone. ``kind``: app, key, code or grant."""
        self._changed[kind, key] = None

    def give_revision(self) -> None:
        """Take the revision of what was noted. The last step before the commit."""
        if not self._changed:
            return
        number = self.connection.execute(
            update(REVISION).values(number=REVISION.c.number + 1).returning(REVISION.c.number)
        ).scalar_one()
        rows = [
            {"revision": number, "place": place, "kind": kind, "key": key}
            for place, (kind, key) in enumerate(self._changed)
        ]
        self.connection.execute(insert(CHANGES), rows)
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(select(func.pg_notify(CHANNEL, "")))  # sent with the commit


class Store:
    """An open database. Any thread may use it."""

    def __init__(
        self,
        url: str,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        statement_limit_s: float | None = None,
        elsewhere: Elsewhere = nowhere,
    ) -> None:
        """``url`` as SQLAlchemy writes it: ``sqlite:///path`` or ``postgresql://...``. Raises StoreFault.

        ``statement_limit_s``: how long PostgreSQL may work, or wait for a lock, in one statement; None: as long as it
        likes.
        """
        self.now_ms = now_ms
        self._elsewhere = elsewhere
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreFault("the database is not a URL; write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            folder = Path(parsed.database or "").resolve().parent
            if not folder.is_dir():
                raise StoreFault(f"there is no folder {folder} for the database; create it, or write another path")
            self.engine: Engine = create_engine(parsed, connect_args={"timeout": _BUSY_S}, hide_parameters=True)
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        elif parsed.get_backend_name() == "postgresql":
            self.engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_size=_POOL,
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args=_PATIENCE,
            ).execution_options(isolation_level="REPEATABLE READ")
            if statement_limit_s is not None:
                event.listen(self.engine, "connect", _limit_statements(statement_limit_s))
        else:
            raise StoreFault("the registry is kept in SQLite or PostgreSQL; write sqlite:///FILE or postgresql://...")

    @contextmanager
    def changing(self, request_id: str = "") -> Iterator[Transaction]:
        """A transaction that may change the registry. It is rolled back when the block raises. Raises Conflict."""
        options: dict[str, Any] = (
            {"sqlite_begin": "IMMEDIATE"} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}
        )
        try:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                transaction = Transaction(connection, self.now_ms(), request_id, self._elsewhere)
                yield transaction
                transaction.give_revision()
        except IntegrityError:
            raise Conflict(_SAME_MOMENT) from None
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _ROLLED_BACK:
                raise
            raise Conflict(_SAME_MOMENT) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A view of the registry at one moment."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def is_full(error: DBAPIError) -> bool:
    """Whether a statement failed because the database has no room left, so that trying again helps nobody."""
    cause = error.orig
    return getattr(cause, "sqlstate", None) == _DISK_FULL or getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL"


def revision_of(connection: Connection) -> tuple[int, str]:
    """The revision that a view shows, and the id of the registry."""
    row = connection.execute(select(REVISION.c.number, REVISION.c.registry_id)).one()
    return int(row.number), str(row.registry_id)


def set_up(tx: Transaction, sealer: Sealer) -> None:
    """Make an empty registry of empty tables. Does nothing to one that is set up already."""
    if tx.connection.execute(select(REVISION.c.only)).first() is None:
        row = {"only": 1, "number": 0, "registry_id": str(uuid.uuid4()), "hash_key": new_hash_key(sealer)}
        tx.connection.execute(insert(REVISION).values(row))


def vault_of(view: Connection, sealer: Sealer) -> Vault:
    """What opens the secrets of this registry. Raises SealBroken."""
    return Vault(sealer, bytes(view.execute(select(REVISION.c.hash_key)).scalar_one()))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN, so that a view is one view
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _limit_statements(limit_s: float) -> Callable[[Any, Any], None]:
    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"SET SESSION statement_timeout = {int(limit_s * 1000)}")
        connection.commit()

    return limit


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turned into a writer half-way could find that somebody else has changed what it read.
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
