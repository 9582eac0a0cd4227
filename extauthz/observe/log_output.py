"""Where lines go: a file that several processes share and that is rotated, or a stream such as standard output.

Whole lines or nothing, whoever else writes there: a file is locked for each batch; a stream gets pieces that a pipe
takes at once. The lock of a batch is also what makes rotation safe, by us or by logrotate: whoever gets it looks
whether the file is still the one that bears the name.
"""

import fcntl
import logging
import os
import stat
from pathlib import Path
from typing import Final, Protocol

from extauthz.observe.decision_line import LINE_BYTES

_MODE: Final = 0o640
_OPEN: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_log: Final = logging.getLogger("extauthz")


class LogOutput(Protocol):
    """Something that takes lines."""

    def write(self, lines: memoryview) -> int:
        """Write the first of these lines, and return how many bytes that were. Raises OSError when none could be."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class LogStream:
    """A pipe, a terminal, a socket: cannot be rotated, and is written to in pieces of whole lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, lines: memoryview) -> int:
        piece = bytes(lines[:LINE_BYTES])
        end = len(piece) if len(piece) == len(lines) else piece.rfind(b"\n") + 1
        return os.write(self._descriptor, piece[: end or len(piece)])

    def close(self) -> None:
        """It was there before us, and others may use it."""


class LogFile:
    """A file by its name. Moved away, it is made anew at the next write: logrotate needs no signal to us."""

    def __init__(self, path: Path, max_bytes: int | None = None, keep: int = 1) -> None:
        """Past ``max_bytes`` the file becomes ``path.1``, that one ``path.2``, up to ``path.keep``. Raises OSError."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor: int | None = None
        self._told = False
        self._open()

    def write(self, lines: memoryview) -> int:
        descriptor = self._lock(len(lines))
        try:
            end, written = os.fstat(descriptor).st_size, 0
            try:
                while written < len(lines):
                    written += os.write(descriptor, lines[written:])
            except OSError:
                if written:  # the disk is full: half a line would spoil the next one, of whichever process
                    os.ftruncate(descriptor, end)
                raise
            return written
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, _OPEN, _MODE)
        return self._descriptor

    def _lock(self, coming: int) -> int:
        """The descriptor of the file that bears the name and has room, locked."""
        while True:
            descriptor = self._open()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                if self._bears_the_name(descriptor) and not self._rotated(descriptor, coming):
                    return descriptor
            except OSError:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                raise
            self.close()

    def _bears_the_name(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _rotated(self, descriptor: int, coming: int) -> bool:
        size = os.fstat(descriptor).st_size
        if self._max_bytes is None or not size or size + coming <= self._max_bytes:
            return False
        try:
            for number in range(self._keep - 1, 0, -1):
                if self._numbered(number).exists():
                    self._numbered(number).replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
        except OSError as error:  # a file that is too long is better than none
            if not self._told:
                _log.error("the decision log cannot be rotated, it grows on: %s", error.strerror)
            self._told = True
            return False
        return True

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def open_file(path: Path, max_bytes: int | None, keep: int) -> LogOutput:
    """A file, or a stream that has a name, such as a fifo or /dev/stderr. Raises OSError."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return LogStream(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
    return LogFile(path, max_bytes, keep)
