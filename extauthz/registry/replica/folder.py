"""The folder of a host's replica: which file is in force, who writes, and how the registry was last seen.

The file ``current`` names the replica that is in force. A new one is built beside it and put into force by replacing
that name, so a half-written one never has it. Readers keep what they have open until the name changes.
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

_CURRENT: Final = "current"
_ON_TRIAL: Final = "on-trial"
_DAMAGED: Final = "damaged"
_STATUS: Final = "status"
_LOCK: Final = "lock"
_USES: Final = "uses-"
_TRIALS: Final = 2
"""How often a replica may end the process that reads it through: once may have been a kill from outside."""
_STALE_S: Final = 10.0
"""A status that is older than this, in seconds, says that nobody follows the registry any more."""


class Use(NamedTuple):
    """The last time that a credential proved an app."""

    app_id: str
    used_ms: int
    """Milliseconds since 1970."""
    networks: list[str]


class Status(NamedTuple):
    """How the registry was last seen from this host."""

    up: bool = False
    """Whether the last look at the database went well."""
    confirmed_ms: int = 0
    """When it was last seen that the replica is what the registry is; milliseconds since 1970, 0 for never."""
    fault: str = ""
    """What is wrong, for people; without secrets."""
    written_ms: int = 0


class ReplicaFolder:
    """The files of one folder. Made when it is first written to; nobody else may look into it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Create the folder. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    # What readers ask.

    def current(self) -> str:
        """The name of the file in force; empty: there is none."""
        return self._read(_CURRENT)

    def status(self) -> Status:
        """How the registry was last seen."""
        try:
            status = Status(**json.loads(self._read(_STATUS)))
        except (TypeError, ValueError):
            return Status()
        is_stale = abs(time.time() * 1000 - status.written_ms) > _STALE_S * 1000
        return status._replace(up=False, fault="nobody follows the registry") if is_stale and status.up else status

    def report_damage(self, name: str) -> None:
        """Say that a file holds what is not to be believed. Whoever writes will make another one."""
        with suppress(OSError):
            self._write(_DAMAGED, name)

    def leave_uses(self, uses: Mapping[str, Use]) -> bool:
        """Leave what was used for the writer; False when the last ones of this process are still there."""
        name = f"{_USES}{os.getpid()}"
        if (self.path / name).exists():
            return False
        with suppress(OSError):
            self._write(name, json.dumps(uses))
            return True
        return False

    # What the one writer does.

    def uses(self) -> Iterator[tuple[Path, dict[str, Use]]]:
        """What processes have left, and the file, to be removed once it is written."""
        for file in self.path.glob(f"{_USES}*[0-9]"):
            try:
                yield file, {key: Use(*use) for key, use in json.loads(file.read_text()).items()}
            except (OSError, ValueError, TypeError, AttributeError):
                self._remove(file.name)

    @contextmanager
    def only_writer(self) -> Iterator[bool]:
        """Whether this process is the writer now. Nobody waits: ask again later. Raises OSError."""
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def is_damaged(self, name: str) -> bool:
        """Whether a reader found that this file is not to be believed."""
        return self._read(_DAMAGED) == name

    def new_name(self) -> str:
        """The name of a file that is to be built."""
        return f"{uuid.uuid4().hex}.mdb"

    def put_into_force(self, name: str) -> None:
        """Let readers take this file from now on, and remove all others. Raises OSError."""
        self._write(_CURRENT, name)
        self._remove(_ON_TRIAL)
        self._remove(_DAMAGED)
        for file in self.path.glob("*.mdb*"):
            if not file.name.startswith(name):
                self._remove(file.name)

    def withdraw(self) -> None:
        """Let nobody open the file in force until it was read through, unless somebody writes it at this moment."""
        with suppress(OSError), self.only_writer() as mine:
            name = self.current()
            if mine and name:
                self._write(_ON_TRIAL, f"{name} 0")
                self._remove(_CURRENT)

    def take_on_trial(self) -> str:
        """The file in force, which is not in force until ``put_into_force``; empty: there is none to be trusted.

        Reading a damaged file may end the process. One that did so twice is not tried again.
        """
        name, _, trials = self._read(_ON_TRIAL).partition(" ")
        tried = int(trials) if trials.isdigit() else 0
        if not name:
            name = self.current()
        if not name or tried >= _TRIALS or self.is_damaged(name) or not (self.path / name).is_file():
            self._remove(_CURRENT)
            return ""
        self._write(_ON_TRIAL, f"{name} {tried + 1}")
        self._remove(_CURRENT)
        return name

    def tell(self, status: Status) -> None:
        """Publish how the registry is seen now. Raises OSError."""
        self._write(_STATUS, json.dumps(status._asdict()))

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _write(self, name: str, text: str) -> None:
        aside = self.path / f"{name}.{os.getpid()}.new"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
        aside.replace(self.path / name)

    def _remove(self, name: str) -> None:
        with suppress(OSError):
            (self.path / name).unlink()


def details(status: Status) -> dict[str, Any]:
    """A status for /readyz."""
    told: dict[str, Any] = {"up": status.up, "age_seconds": age_s(status)}
    return told | ({"fault": status.fault} if status.fault else {})


def age_s(status: Status) -> float | None:
    """Seconds since the replica was last known to be what the registry is; None: never."""
    if not status.confirmed_ms:
        return None
    return max(0.0, round(time.time() - status.confirmed_ms / 1000, 3))
