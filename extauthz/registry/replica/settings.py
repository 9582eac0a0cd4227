"""What a replicator is told by whoever starts it. Apart from it, so that serving processes need no database driver."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from extauthz.registry.database.sealing import Sealer
from extauthz.registry.replica.writing import FileWriter


class Settings(NamedTuple):
    """What a replicator is told. Travels over a pipe that nobody else reads."""

    database: str
    master_keys: list[str]
    """In base64, newest first."""
    folder: str
    poll_s: float

    @classmethod
    def of(cls, database: str, master_keys: Sequence[bytes], folder: Path, poll_s: float) -> "Settings":
        """Settings from what a configuration says."""
        return cls(database, [base64.b64encode(key).decode() for key in master_keys], str(folder), poll_s)

    @property
    def sealer(self) -> Sealer:
        """What opens secrets."""
        return Sealer([base64.b64decode(key) for key in self.master_keys])

    def __repr__(self) -> str:
        return f"Settings(folder={self.folder!r}, poll_s={self.poll_s})"


class TakenUp(NamedTuple):
    """A replica that an earlier life left, and that was read through."""

    name: str
    writer: FileWriter
