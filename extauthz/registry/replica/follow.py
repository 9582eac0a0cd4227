"""Following the registry: what a replicator does once it has taken up the replica that was there."""

import logging
import threading
import time
from pathlib import Path
from typing import Final

import lmdb
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from extauthz.registry.database.migrate import check_schema
from extauthz.registry.database.sealing import SealBroken
from extauthz.registry.database.store import Store, StoreFault
from extauthz.registry.replica.arrivals import Arrivals, arrivals_of
from extauthz.registry.replica.feed import can_follow, changes_since, position_of
from extauthz.registry.replica.file import ReplicaBroken
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.last_uses import write_uses
from extauthz.registry.replica.loading import Loading
from extauthz.registry.replica.records import Position
from extauthz.registry.replica.settings import Settings, TakenUp
from extauthz.registry.replica.writing import FileWriter

TELL_EVERY_S: Final = 1.0
MAX_BACK_OFF_S: Final = 5.0
"""Between looks at a database that is down, in seconds."""
_log: Final = logging.getLogger("extauthz")


class Replicator:
    """Keeps the replica in a folder what the registry is. The only one that writes there."""

    def __init__(self, settings: Settings, stopping: threading.Event, taken_up: TakenUp | None) -> None:
        self._settings = settings
        self._sealer = settings.sealer
        self._folder = ReplicaFolder(Path(settings.folder))
        self._stopping = stopping
        self._store: Store | None = None
        self._arrivals: Arrivals | None = None
        self._name = "" if taken_up is None else taken_up.name
        self._writer: FileWriter | None = None if taken_up is None else taken_up.writer
        self._loading: Loading | None = None
        self._status = self._folder.status()
        # By a clock that nobody sets: an age must not shrink when the wall clock is set back.
        self._confirmed_s = time.monotonic() - max(0.0, time.time() - self._status.confirmed_ms / 1000)
        self._told_s = 0.0

    def run(self) -> None:
        """Follow until told to stop."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self._look()
                self._write_uses()
                self._wait()
                failures = 0
            except (SQLAlchemyError, StoreFault, SealBroken, lmdb.Error, OSError) as error:
                failures += 1
                self._fail(_told(error))
                self._stopping.wait(min(MAX_BACK_OFF_S, 0.25 * 2 ** min(failures, 6)))
        if self._loading is not None:
            self._loading.wait(TELL_EVERY_S)
        self._close_store()

    def _look(self) -> None:
        """Bring the replica to where the registry is now."""
        store = self._open_store()
        with store.reading() as view:
            now = position_of(view)
            self._take_over(view, now)
            is_there = self._writer is not None and self._follow(view, self._writer, now)
        if self._loading is None and (not is_there or self._must_be_renewed()):
            self._loading = Loading(store, self._sealer, self._folder, self._stopping)
        if is_there:
            self._beat()
        else:
            self._keep_told()

    def _must_be_renewed(self) -> bool:
        """Whether the replica holds what is not to be believed, or was made with other master keys."""
        writer = self._writer
        return writer is None or writer.master_keys != self._sealer.key_ids or self._folder.is_damaged(self._name)

    def _follow(self, view: Connection, writer: FileWriter, now: Position) -> bool:
        """Bring a replica there by what changed, if it can be."""
        if writer.position == now:
            return True
        if not can_follow(view, writer.position, now):
            return False
        try:
            writer.apply(now, changes_since(view, writer.position.revision, self._sealer))
        except ReplicaBroken as error:
            _log.error("the replica is made anew: %s", error)
            return False
        except lmdb.Error:
            if writer is self._writer and self._folder.is_damaged(self._name):
                return False
            raise
        return True

    def _take_over(self, view: Connection, now: Position) -> None:
        """Put into force what was read whole, once it is where the registry is now: nobody may see it go back."""
        loading = self._loading
        if loading is None or not loading.wait(0):
            return
        self._loading = None
        writer = loading.writer()
        is_there = False
        try:
            is_there = self._follow(view, writer, now)
        finally:
            if not is_there:
                loading.discard()
        if not is_there:
            return
        self._writer, self._name = writer, loading.name
        self._folder.put_into_force(loading.name)

    def _open_store(self) -> Store:
        if self._store is None:
            store = Store(self._settings.database)
            try:
                check_schema(store)
                self._arrivals = arrivals_of(store)
            except BaseException:
                store.close()
                raise
            self._store = store
        return self._store

    def _close_store(self) -> None:
        if self._arrivals is not None:
            self._arrivals.close()
        if self._store is not None:
            self._store.close()
        self._store = self._arrivals = None

    def _wait(self) -> None:
        if self._loading is not None and self._writer is None:
            self._loading.wait(self._settings.poll_s)  # there is nothing to follow yet
        elif self._arrivals is not None:
            self._arrivals.wait(self._settings.poll_s, self._stopping)

    def _write_uses(self) -> None:
        if self._store is not None:
            for file, uses in self._folder.uses():
                write_uses(self._store, uses)
                file.unlink(missing_ok=True)

    def _fail(self, fault: str) -> None:
        self._close_store()
        if self._status.up or self._status.fault != fault:
            _log.error("the registry cannot be followed: %s; trying again", fault)
        self._status = self._status._replace(up=False, fault=fault)
        self._tell()

    def _beat(self) -> None:
        """Note that the replica is what the registry is."""
        was_up = self._status.up and not self._status.fault
        if not was_up:
            _log.info("following the registry at revision %d", self._writer.position.revision if self._writer else 0)
        self._confirmed_s = time.monotonic()
        self._status = self._status._replace(up=True, fault="", confirmed_ms=time.time_ns() // 1_000_000)
        if not was_up:
            self._tell()
        self._keep_told()

    def _keep_told(self) -> None:
        if time.monotonic() - self._told_s >= TELL_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        now_ms = time.time_ns() // 1_000_000
        if self._status.confirmed_ms:
            confirmed_ms = now_ms - round((self._told_s - self._confirmed_s) * 1000)
            self._status = self._status._replace(confirmed_ms=max(1, confirmed_ms))
        try:
            self._folder.tell(self._status._replace(written_ms=now_ms))
        except OSError as error:
            _log.error("cannot write to %s: %s", self._folder.path, error.strerror)


def _told(error: Exception) -> str:
    """What is wrong, without anything that the database's URL or a row holds."""
    if isinstance(error, StoreFault | SealBroken):
        return str(error)
    if isinstance(error, lmdb.Error | OSError):
        return f"the replica cannot be written: {error}"
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
