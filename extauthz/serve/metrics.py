"""What Prometheus sees of the process itself: its snapshot, its reloads, its workers."""

import platform
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import extauthz
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import Directory
from extauthz.families import Gauge, OverWorkers
from extauthz.serve.reload import ReloadStatus

ENDING_WITHIN_DAYS: Final = (7, 30)
"""The terms for which ending grants are counted."""


class StateMetrics(Collector):
    """Snapshot, checks in work and build: read at the time of the scrape."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        in_flight: Callable[[], int],
    ) -> None:
        self._snapshot = snapshot
        self._in_flight = in_flight

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        snapshot = self._snapshot()
        info = Gauge(
            "extauthz_build_info", "Version of the service.", OverWorkers.HIGHEST,
            labels=["version", "python", "build"],
        )  # fmt: skip
        info.add_metric([extauthz.__version__, platform.python_version(), extauthz.build()], 1)
        yield info
        info = Gauge(  # summed: how many workers serve a revision
            "extauthz_snapshot_info", "Revision that is being served.", OverWorkers.SUM, labels=["revision"]
        )
        info.add_metric([snapshot.file_revision], 1)
        yield info
        age_s = time.time() - snapshot.gateway.built_at_ms / 1000
        yield Gauge("extauthz_snapshot_age_seconds", "Since the snapshot was built.", OverWorkers.HIGHEST, value=age_s)
        sizes = Gauge("extauthz_snapshot_entries", "What the snapshot holds.", OverWorkers.HIGHEST, labels=["kind"])
        for kind, count in {"apis": len(snapshot.gateway.apis), **snapshot.directory.sizes()}.items():
            sizes.add_metric([kind], count)
        yield sizes
        shadow = Gauge(
            "extauthz_shadow_until_timestamp_seconds", "When what is in shadow denies again.", OverWorkers.HIGHEST,
            labels=["kind", "id", "methods"],
        )  # fmt: skip
        for kind, name, methods, until_ms in () if snapshot.gateway.shadow is None else snapshot.gateway.shadow.told():
            shadow.add_metric([kind, name, methods], until_ms / 1000)
        yield shadow
        in_flight = self._in_flight()
        yield Gauge("extauthz_checks_in_flight", "Checks taken on and not answered.", OverWorkers.SUM, value=in_flight)


class GrantMetrics(Collector):
    """Grants of the configuration file that end soon. Their ends are sorted once for each revision of it."""

    def __init__(self, directory: Callable[[], Directory], now_s: Callable[[], float] = time.time) -> None:
        """``now_s`` gives the time in seconds since 1970; tests pass their own."""
        self._directory = directory
        self._now_s = now_s
        self._revision = ""
        self._ends_ms: list[int] = []

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        directory, now_ms = self._directory(), int(self._now_s() * 1000)
        if directory.file_revision != self._revision:
            self._revision, self._ends_ms = directory.file_revision, directory.ends_of_grants()
        ended = bisect_right(self._ends_ms, now_ms)
        ending = Gauge(
            "extauthz_grants_ending", "Grants of the file that end within so many days; 0: that have ended.",
            OverWorkers.HIGHEST, labels=["days"],
        )  # fmt: skip
        ending.add_metric(["0"], ended)
        for days in ENDING_WITHIN_DAYS:
            ending.add_metric([str(days)], bisect_right(self._ends_ms, now_ms + days * 86_400_000) - ended)
        yield ending


class ReloadMetrics(Collector):
    """How reloads went."""

    def __init__(self, status: ReloadStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        status = self._status
        reloads = CounterMetricFamily("extauthz_reloads", "Reloads of the configuration.", labels=["result"])
        reloads.add_metric(["success"], status.succeeded)
        reloads.add_metric(["failure"], status.failed)
        yield reloads
        for result, at_s in (("success", status.last_success_s), ("error", status.last_failure_s)):
            name = f"extauthz_reload_last_{result}_timestamp_seconds"
            yield GaugeMetricFamily(name, "When a reload last ended so, 0 for never.", value=at_s)
        failing = GaugeMetricFamily("extauthz_reload_failing", "1 while the last reload failed.")
        failing.add_metric([], 1 if status.problems else 0)
        yield failing
        waiting = GaugeMetricFamily(
            "extauthz_restart_needed", "Changed settings that only a restart applies.", labels=["key"]
        )
        for key in status.restart_needed:
            waiting.add_metric([key], 1)
        yield waiting


class WorkerMetrics(Collector):
    """How many workers there are, and why some had to be replaced."""

    def __init__(self, wanted: int, ready: Callable[[], int], replaced: Mapping[str, int]) -> None:
        self._wanted = wanted
        self._ready = ready
        self._replaced = replaced

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        yield GaugeMetricFamily("extauthz_workers", "Workers that should run.", value=self._wanted)
        yield GaugeMetricFamily("extauthz_workers_ready", "Workers that answer checks.", value=self._ready())
        replaced = CounterMetricFamily("extauthz_workers_replaced", "Workers that ended, by cause.", labels=["why"])
        for why, count in dict(self._replaced).items():
            replaced.add_metric([why], count)
        yield replaced


def build_registry(*collectors: Collector) -> CollectorRegistry:
    """Everything that /metrics shows, in a registry of its own."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
