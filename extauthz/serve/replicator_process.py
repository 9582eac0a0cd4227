"""The replicator as whoever runs it sees it: a child process that is replaced when it ends."""

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, Protocol

from extauthz.config import ServiceConfig
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.settings import Settings
from extauthz.serve.registry_follower import access_of

STOP_S: Final = 5.0
"""How long it gets to end by itself, in seconds."""
SETTLED_S: Final = 10.0
MAX_BACK_OFF_S: Final = 10.0
_log: Final = logging.getLogger("extauthz")


class RunsReplicator(Protocol):
    """Keeps a replicator running for this host."""

    def start(self) -> None:
        """Start it, and another one whenever it ends."""

    def configure(self, config: ServiceConfig, *, folder_too: bool = False) -> None:
        """Go on with what another configuration says; with another folder only if those who read it follow."""

    def stop(self) -> None:
        """End it, whether or not it was started."""


def open_replicator(config: ServiceConfig) -> RunsReplicator:
    """What runs the replicator of a configuration, if it names a registry."""
    settings = _settings(config)
    return NoReplicator() if settings is None else ReplicatorProcess(settings)


def _settings(config: ServiceConfig) -> Settings | None:
    access = access_of(config)
    return None if access is None else Settings.of(access.url, access.master_keys, access.replica, access.poll_s)


class NoReplicator:
    """Nothing to follow."""

    def start(self) -> None:
        return

    def configure(self, config: ServiceConfig, *, folder_too: bool = False) -> None:
        return

    def stop(self) -> None:
        return


class ReplicatorProcess:
    """One process that runs ``extauthz.registry.replica.replicator``, and the thread that waits for its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of the child: it is told to end while the thread starts another one
        self._thread = threading.Thread(target=self._run, name="replicator", daemon=True)

    def start(self) -> None:
        ReplicaFolder(Path(self._settings.folder)).withdraw()
        self._thread.start()

    def configure(self, config: ServiceConfig, *, folder_too: bool = False) -> None:
        settings = _settings(config)
        if settings is None or settings == self._settings:
            return
        if settings.folder == self._settings.folder or folder_too:
            self._settings = settings
            self._changed.set()
            self._tell_to_end()

    def stop(self) -> None:
        self._stopping.set()
        self._tell_to_end()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.kill()
                self._child.wait()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            child = self._start_child()
            if child is None:
                return
            status = child.wait()
            if self._stopping.is_set():
                return
            if self._changed.is_set():
                self._changed.clear()
                continue
            failures = failures + 1 if time.monotonic() - began_s < SETTLED_S else 0
            back_off_s = min(MAX_BACK_OFF_S, 0.1 * 2**failures)
            _log.error("the replicator ended with status %d; the next one in %.1f s", status, back_off_s)
            self._stopping.wait(back_off_s)

    def _start_child(self) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._stopping.is_set():
                return None
            command = [sys.executable, "-m", "extauthz.registry.replica.replicator"]
            child = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603  the command is ours
            self._child = child
            if child.stdin is not None:
                try:
                    child.stdin.write(json.dumps(self._settings._asdict()).encode() + b"\n")
                    child.stdin.flush()
                except OSError:
                    _log.error("the replicator does not listen")
            return child

    def _tell_to_end(self) -> None:
        with self._lock:
            if self._child is not None and self._child.stdin is not None:
                try:
                    self._child.stdin.close()
                except OSError:
                    return
