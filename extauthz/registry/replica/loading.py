"""Reading the whole registry into a new replica, in a thread of its own: what changes meanwhile goes on being followed.

A million apps take half a minute. Nobody waits that long for a revocation because a master key was rotated.
"""

import logging
import threading
import time
from typing import Final

from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store
from extauthz.registry.replica.feed import everything, position_of
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.writing import FileWriter

_log: Final = logging.getLogger("extauthz")


class Loading:
    """One file that is being written, of the revision at which it was begun. Nobody reads it before it is in force."""

    def __init__(self, store: Store, sealer: Sealer, folder: ReplicaFolder, stopping: threading.Event) -> None:
        self.name = folder.new_name()
        self._store = store
        self._sealer = sealer
        self._path = folder.path / self.name
        self._stopping = stopping
        self._writer: FileWriter | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def wait(self, most_s: float) -> bool:
        """Whether it has ended, within so many seconds."""
        self._thread.join(most_s)
        return not self._thread.is_alive()

    def writer(self) -> FileWriter:
        """What goes on with the file, once it has ended. Raises what it failed with."""
        if self._error is not None or self._writer is None:
            raise self._error or OSError("reading the registry was given up")
        return self._writer

    def discard(self) -> None:
        """Remove the file."""
        for left in (self._path, self._path.with_name(f"{self.name}-lock")):
            left.unlink(missing_ok=True)

    def _run(self) -> None:
        began_s = time.monotonic()
        try:
            with self._store.reading() as view:
                now = position_of(view)
                entries = everything(view, self._sealer)
                self._writer = FileWriter.build(self._path, self._sealer, now, entries, self._go_on)
            _log.info("revision %d read whole in %.1f s", now.revision, time.monotonic() - began_s)
        except Exception as error:  # whatever it is, the thread that follows tells of it and tries again
            self._error = error
            self.discard()

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise OSError("the replicator ends")
