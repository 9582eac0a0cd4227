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
from extauthz.registry.replica.feed import can_follow, changes_since, everything, position_of
from extauthz.registry.replica.file import ReplicaBroken
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.last_uses import write_uses
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
        self._close_store()

    def _look(self) -> None:
        """Bring the replica to where the registry is now."""
        store = self._open_store()
        writer = self._writer
        with store.reading() as view:
            now = position_of(view)
            if writer is None or self._folder.is_damaged(self._name) or not self._follow(view, writer, now):
                self._writer = self._load(view, now)
        self._beat()

    def _follow(self, view: Connection, writer: FileWriter, now: Position) -> bool:
        """Bring the replica there by what changed, if it can be."""
        if writer.master_keys != self._sealer.key_ids:
            return False
        if writer.position == now:
            return True
        if not can_follow(view, writer.position, now):
            return False
        try:
            writer.apply(now, changes_since(view, writer.position.revision, self._sealer))
        except ReplicaBroken as error:
            _log.error("the replica is made anew: %s", error)
            return False
        return True

    def _load(self, view: Connection, now: Position) -> FileWriter:
        """Read everything into a file of its own and put that into force."""
        began_s = time.monotonic()
        name = self._folder.new_name()
        path = self._folder.path / name
        try:
            writer = FileWriter.build(path, self._sealer, now, everything(view, self._sealer), self._keep_told)
        except BaseException:
            for left in (path, path.with_name(f"{name}-lock")):
                left.unlink(missing_ok=True)
            raise
        self._name = name
        self._folder.put_into_force(name)
        _log.info("revision %d read whole in %.1f s", now.revision, time.monotonic() - began_s)
        return writer

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
        if self._arrivals is not None:
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
