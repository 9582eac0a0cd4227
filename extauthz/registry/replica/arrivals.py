"""How a replicator learns that there may be something new: PostgreSQL tells, SQLite has to be asked."""

import threading
import time
from typing import Any, Final, Protocol

from extauthz.registry.database.store import CHANNEL, Store, StoreFault

_GATHER_S: Final = 0.02
"""How long news is gathered, in seconds: under a hundred changes a second one look answers many."""
_PIECE_S: Final = 0.5


class Arrivals(Protocol):
    """Waits for news."""

    def wait(self, most_s: float, stopping: threading.Event) -> None:
        """Return when something may have changed, at the latest after ``most_s``. Raises StoreFault."""

    def close(self) -> None:
        """Wait no more."""


def arrivals_of(store: Store) -> Arrivals:
    """What waits for news of this database. Raises SQLAlchemyError, StoreFault."""
    return Asking() if store.is_sqlite else Listening(store)


class Asking:
    """No news comes by itself."""

    def wait(self, most_s: float, stopping: threading.Event) -> None:
        stopping.wait(most_s)

    def close(self) -> None:
        return


class Listening:
    """A connection of its own, on which PostgreSQL tells of each change. Beneath it the registry is asked anyway."""

    def __init__(self, store: Store) -> None:
        pooled = store.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        connection.rollback()
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}")
        self._connection = connection

    def wait(self, most_s: float, stopping: threading.Event) -> None:
        import psycopg  # an optional extra, which this connection comes from

        end_s = time.monotonic() + most_s
        try:
            while not stopping.is_set() and (left_s := end_s - time.monotonic()) > 0:
                for _ in self._connection.notifies(timeout=min(left_s, _PIECE_S), stop_after=1):
                    stopping.wait(_GATHER_S)
                    return
        except psycopg.Error as error:
            raise StoreFault(f"the connection that tells of changes is lost ({type(error).__name__})") from None

    def close(self) -> None:
        self._connection.close()
