"""The folder of captured checks: what an operator asked to keep, and what was kept, all of it sealed.

Who may write here and has the key may ask; nobody else, and nothing that a request carries. One slot is a file, made by
whoever is first, so that all workers of the host together keep no more than was asked for.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from extauthz.registry.database.sealing import SealBroken, Sealer

MOST_CHECKS: Final = 1000
MOST_MINUTES: Final = 24 * 60
KEPT_MS: Final = 24 * 3_600_000
"""How long captured checks rest after the last one could have come, in milliseconds; then they are removed."""
_WANTED: Final = "wanted"
_SLOT: Final = "check-{:04}"


class Wanted(NamedTuple):
    """What is to be kept."""

    id: str
    app: str
    """Id; empty: of any app."""
    api: str
    """Id; empty: of any API. One of the two is given."""
    checks: int
    until_ms: int
    """Milliseconds since 1970."""
    asked_by: str
    why: str


class Captured(NamedTuple):
    """A denied check."""

    id: str
    """X-Ca-Request-Id of its answer."""
    at_ms: int
    """When it was decided, in milliseconds since 1970."""
    network: str
    revision: str
    reason: str
    api: str
    app: str
    hidden: list[str]
    """Names of what was left out, because explaining does not need it."""
    question: bytes
    """The serialized CheckRequest."""


class CaptureFolder:
    """The files of one folder."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._sealer = Sealer([key])

    def ask(self, app: str, api: str, checks: int, until_ms: int, asked_by: str, why: str) -> Wanted:
        """Ask for checks to be kept; what was kept before is removed. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clear()
        wanted = Wanted(uuid.uuid4().hex, app, api, checks, until_ms, asked_by, why)
        sealed = self._sealer.seal(json.dumps(wanted._asdict()).encode(), _WANTED)
        aside = self.path / f"{_WANTED}.new"
        _create(aside, sealed)
        aside.replace(self.path / _WANTED)
        return wanted

    def clear(self) -> None:
        """Ask for nothing any more, and remove what was kept. Raises OSError."""
        for file in (self.path / _WANTED, self.path / f"{_WANTED}.new", *self.path.glob("check-*")):
            file.unlink(missing_ok=True)

    def wanted(self) -> Wanted | None:
        """What is asked for, whether or not its time is up; None where nothing is, or nobody with the key asked."""
        opened = self._read(self.path / _WANTED, _WANTED)
        try:
            return None if opened is None else Wanted(**opened)
        except TypeError:
            return None

    def keep(self, wanted: Wanted, captured: Captured) -> bool:
        """Keep a check; False when as many as were asked for are there. Raises OSError."""
        told = captured._asdict() | {"question": captured.question.hex()}
        for slot in range(wanted.checks):
            name = _SLOT.format(slot)
            label = f"{wanted.id}/{name}"
            file = self.path / name
            if file.exists():
                continue
            with suppress(FileExistsError):
                _create(file, self._sealer.seal(json.dumps(told).encode(), label))
                return True
        return False

    def kept(self) -> int:
        """How many checks are kept."""
        return sum(1 for _ in self.path.glob("check-*"))

    def captured(self) -> Iterator[Captured]:
        """Every check that is kept and that this key opens, in the order in which they came."""
        wanted = self.wanted()
        if wanted is None:
            return
        for file in sorted(self.path.glob("check-*")):
            opened = self._read(file, f"{wanted.id}/{file.name}")
            if opened is not None:
                with suppress(TypeError, ValueError, KeyError):
                    yield Captured(**opened | {"question": bytes.fromhex(opened["question"])})

    def _read(self, file: Path, label: str) -> dict[str, Any] | None:
        try:
            told = json.loads(self._sealer.open(file.read_bytes(), label))
        except (OSError, SealBroken, ValueError):
            return None
        return told if isinstance(told, dict) else None


def _create(file: Path, content: bytes) -> None:
    """Write a new file whole. Raises FileExistsError where there is one, but for what was left half-done."""
    if file.suffix == ".new":
        file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
