"""The snapshot: everything that a check may read, in two halves that change at different times."""

from typing import NamedTuple

from extauthz.domain.snapshot.directory import Directory
from extauthz.domain.snapshot.gateway import Gateway


class Snapshot(NamedTuple):
    """One immutable revision of both halves. Swapped in one assignment, never changed."""

    gateway: Gateway
    """APIs, routes, settings: swapped whole."""
    directory: Directory
    """Apps, keys, codes, grants: changed one entry at a time."""

    @property
    def revision(self) -> str:
        """Both halves' revisions, as logs, metrics and Envoy's access log show them."""
        return f"{self.gateway.revision}-{self.directory.revision}"

    @property
    def file_revision(self) -> str:
        """What the configuration file says of both halves: equal on all who have the same file."""
        return f"{self.gateway.revision}-{self.directory.file_revision}"

    def following(self, before: "Snapshot", now_ms: int) -> "Snapshot":
        """The snapshot as it takes the place of another one at ``now_ms``, while the replay store stays."""
        return Snapshot(self.gateway.following(before.gateway, now_ms), self.directory)
