"""The registry's half of the directory in one serving process: followed, joined to the file's half, and told of."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from prometheus_client.registry import Collector

from extauthz.config import ServiceConfig
from extauthz.config.sections.registry import RegistryAccess, registry_access
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import EMPTY, DirectoryUnavailable
from extauthz.domain.snapshot.joined import JoinedDirectory
from extauthz.families import NoMetrics
from extauthz.registry.database.sealing import Sealer
from extauthz.registry.replica.folder import ReplicaFolder, age_s
from extauthz.registry.replica.following import Replica
from extauthz.registry.replica.reading import Absent
from extauthz.serve.last_uses import LastUses
from extauthz.serve.registry_metrics import RegistryMetrics

LOOK_S: Final = 0.1
"""How often the replica is looked at, in seconds; a look that finds nothing new takes microseconds."""
FIRST_LOOK_S: Final = 5.0
"""How long the start waits for a replica, in seconds, before it serves without one and says that it is not ready."""
_SHOWN: Final = 20
_log: Final = logging.getLogger("extauthz")


class Follower(Protocol):
    """Brings the registry's half of a directory to a snapshot."""

    metrics: Collector

    @property
    def uses(self) -> "LastUses | None":
        """What is to be told of each decision, besides."""

    def join(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot of a configuration with the registry's apps behind the file's."""

    def configure(self, config: ServiceConfig) -> None:
        """Go on with what another configuration says. Callable from any thread."""

    async def start(self, changed: Callable[[], None]) -> None:
        """Begin to follow. ``changed`` is called whenever ``join`` would say something new."""

    async def stop(self) -> None:
        """Follow no more."""

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether apps of the registry can be served, and what /readyz tells."""


def open_follower(config: ServiceConfig) -> Follower:
    """What follows the registry of a configuration, if it names one."""
    return NoRegistry() if config.file.registry is None else RegistryFollower(config)


def access_of(config: ServiceConfig) -> RegistryAccess | None:
    """What opens the registry that a configuration names."""
    section = config.file.registry
    return None if section is None else registry_access(section, config.path.absolute().parent)


class NoRegistry:
    """A configuration without a registry: all apps stand in the file."""

    def __init__(self) -> None:
        self.metrics: Collector = NoMetrics()
        self.uses: LastUses | None = None

    def join(self, snapshot: Snapshot) -> Snapshot:
        return snapshot

    def configure(self, config: ServiceConfig) -> None:
        return

    async def start(self, changed: Callable[[], None]) -> None:
        return

    async def stop(self) -> None:
        return

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return True, {}


class RegistryFollower:
    """Follows the replica of this host, which a replicator writes."""

    def __init__(self, config: ServiceConfig) -> None:
        access = access_of(config)
        if access is None:
            raise ValueError("the configuration names no registry")
        self._master_keys = access.master_keys
        self.folder = ReplicaFolder(access.replica)
        self._replica = Replica(self.folder, Sealer(access.master_keys))
        self._wanted: Sealer | None = None
        self._file = EMPTY
        self._conflicts: set[str] | None = None
        self.uses: LastUses = LastUses(lambda app_id: self._file.app(app_id) is not None)
        self._task: asyncio.Task[None] | None = None
        self.metrics: Collector = RegistryMetrics(
            self.folder, lambda: self._replica.directory, lambda: len(self._conflicts or ())
        )

    @property
    def directory(self) -> Any:
        """The registry's directory as it is served now."""
        return self._replica.directory

    @property
    def conflicts(self) -> list[str]:
        """The ids of apps that stand in the file and in the registry; the registry's are nobody."""
        return sorted(self._conflicts or ())

    def join(self, snapshot: Snapshot) -> Snapshot:
        if snapshot.directory is not self._file:
            self._file, self._conflicts = snapshot.directory, None
        return Snapshot(snapshot.gateway, self._joined())

    def configure(self, config: ServiceConfig) -> None:
        access = access_of(config)
        if access is not None and access.master_keys != self._master_keys:
            self._master_keys = access.master_keys
            self._wanted = Sealer(access.master_keys)  # taken up by the task, which alone looks

    async def start(self, changed: Callable[[], None]) -> None:
        end_s = time.monotonic() + FIRST_LOOK_S
        while not self.look() and time.monotonic() < end_s:  # noqa: ASYNC110  no event crosses processes
            await asyncio.sleep(LOOK_S / 4)
        if isinstance(self._replica.directory, Absent):
            _log.error("nothing is known of the registry yet; apps that are not in the file get 503 until it is")
        changed()
        self._task = asyncio.create_task(self._follow(changed))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await asyncio.to_thread(self.uses.hand_on, self.folder)

    def close(self) -> None:
        """Know nothing any more."""
        self._replica.close()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        status, directory = self.folder.status(), self._replica.directory
        told: dict[str, Any] = {"revision": directory.revision, "up": status.up, "age_seconds": age_s(status)}
        if status.fault:
            told["fault"] = status.fault
        if self._conflicts:
            told["also_in_the_file"] = self.conflicts[:_SHOWN]
        return not isinstance(directory, Absent), {"registry": told}

    def look(self) -> bool:
        """Whether the replica holds something new, which ``join`` gives from now on."""
        return self._replica.look()

    async def _follow(self, changed: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._wanted is not None:
                self._replica.trust(self._wanted)
                self._wanted = None
            if self.look():
                changed()
                self._compare_changed()
            if self._conflicts is None:
                await self._compare_all()
            if self.uses.are_due():
                await asyncio.to_thread(self.uses.hand_on, self.folder)

    def _joined(self) -> JoinedDirectory:
        directory = self._replica.directory
        return JoinedDirectory(self._file, directory, directory.rehash)

    def _compare_changed(self) -> None:
        """Which apps have come to stand in both places. A look-up for each app that changed."""
        changed, directory = self._replica.changed, self._replica.directory
        if changed is None or self._conflicts is None:
            self._conflicts = None
            return
        for app_id in changed:
            if self._file.app(app_id) is not None:
                with contextlib.suppress(DirectoryUnavailable):
                    self._note(app_id, directory.app(app_id) is not None)

    async def _compare_all(self) -> None:
        """The same for every app of the file, of which there may be many: in a thread."""
        joined = self._joined()
        found: set[str] = set()
        if not isinstance(self._replica.directory, Absent):
            with contextlib.suppress(DirectoryUnavailable):
                found = set(await asyncio.to_thread(joined.conflicts))
        self._conflicts = set()
        for app_id in found:
            self._note(app_id, True)

    def _note(self, app_id: str, in_both: bool) -> None:
        conflicts = self._conflicts if self._conflicts is not None else set()
        if in_both and app_id not in conflicts:
            conflicts.add(app_id)
            if len(conflicts) <= _SHOWN:
                _log.warning("app %s stands in the file and in the registry; the registry's is nobody", app_id)
        elif not in_both:
            conflicts.discard(app_id)
