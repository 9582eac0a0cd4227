"""How the registry is followed, as Prometheus sees it."""

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from extauthz.families import Gauge, OverWorkers
from extauthz.registry.replica.folder import ReplicaFolder, age_s
from extauthz.registry.replica.reading import Absent, ReplicaDirectory


class RegistryMetrics(Collector):
    """State of the replica and of who writes it, read at the time of the scrape."""

    def __init__(
        self,
        folder: ReplicaFolder,
        directory: Callable[[], ReplicaDirectory | Absent],
        conflicts: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._directory = directory
        self._conflicts = conflicts

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        status, directory = self._folder.status(), self._directory()
        yield Gauge(
            "extauthz_registry_up", "1 while the registry's database can be followed.",
            OverWorkers.LOWEST, value=status.up,
        )  # fmt: skip
        age = age_s(status)
        if age is not None:
            yield Gauge(
                "extauthz_registry_age_seconds", "Since the replica was last seen to be what the registry is.",
                OverWorkers.HIGHEST, value=age,
            )  # fmt: skip
        revision = unreadable = 0
        if not isinstance(directory, Absent):
            revision, unreadable = directory.meta.position.revision, directory.meta.counts["unreadable"]
        yield Gauge(
            "extauthz_registry_revision", "Revision of the registry that is served.",
            OverWorkers.LOWEST, value=revision,
        )  # fmt: skip
        yield Gauge(
            "extauthz_registry_unreadable_keys", "Key pairs whose secret no master key opens.",
            OverWorkers.HIGHEST, value=unreadable,
        )  # fmt: skip
        yield Gauge(
            "extauthz_registry_conflicts", "Apps of the registry that stand in the configuration file too.",
            OverWorkers.HIGHEST, value=self._conflicts(),
        )  # fmt: skip
