"""What Prometheus sees. No label is ever chosen by a client: networks, methods, reasons and API ids are closed sets."""

import platform
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

import extauthz
from extauthz.domain.decision import Allow, Decision
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot
from extauthz.serve.reload import ReloadStatus

BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
_CheckKey = tuple[str, str, str, str, str]


class _Tally:
    """Checks of one kind: how many in each duration bucket, and their seconds together."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0


class CheckMetrics(Collector):
    """Counts decisions. Plain numbers under one short lock: a check pays for one look-up and two additions."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tallies: dict[_CheckKey, _Tally] = {}
        self._readings: dict[str, int] = {}
        self._warnings: dict[tuple[str, str], int] = {}

    def decided(self, request_id: str, request: Request | None, decision: Decision, seconds: float) -> None:
        """Count one decision that took ``seconds``."""
        about = decision.about
        api = about.api.id if about.api is not None else ""
        network = "internet" if request is None else request.network
        if isinstance(decision, Allow):
            key = (network, api, about.method, "allow", decision.label)
            if decision.reading:
                self._count_reading(api, decision)
        else:
            key = (network, api, about.method, "deny", decision.reason.label)
        with self._lock:
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = _Tally()
            tally.buckets[bisect_left(BUCKETS_S, seconds)] += 1
            tally.seconds += seconds

    def _count_reading(self, api: str, allow: Allow) -> None:
        with self._lock:
            self._readings[allow.reading] = self._readings.get(allow.reading, 0) + 1
            if allow.warning:
                warned = (api, allow.warning)
                self._warnings[warned] = self._warnings.get(warned, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        with self._lock:
            tallies = {key: (list(tally.buckets), tally.seconds) for key, tally in self._tallies.items()}
            readings, warnings = dict(self._readings), dict(self._warnings)
        labels = ["network", "api", "method", "decision", "reason"]
        counter = CounterMetricFamily("extauthz_checks", "Checks answered.", labels=labels)
        durations: dict[tuple[str, str], tuple[list[int], float]] = {}
        for key, (buckets, seconds) in tallies.items():
            counter.add_metric(key, sum(buckets))
            _, _, method, outcome, _ = key
            sums, total = durations.get((method, outcome), ([0] * len(buckets), 0.0))
            durations[method, outcome] = [a + b for a, b in zip(sums, buckets, strict=True)], total + seconds
        yield counter
        histogram = HistogramMetricFamily(
            "extauthz_check_duration_seconds", "Time from request bytes to answer bytes.", labels=["method", "decision"]
        )
        for timed, (buckets, seconds) in durations.items():
            histogram.add_metric(timed, _cumulative(buckets), seconds)
        yield histogram
        counter = CounterMetricFamily(
            "extauthz_digest_readings", "Valid signatures by the reading of the string to sign.", labels=["reading"]
        )
        for reading, count in readings.items():
            counter.add_metric([reading], count)
        yield counter
        counter = CounterMetricFamily(
            "extauthz_strict_warnings", "Allowed requests that strict mode would refuse.", labels=["api", "warning"]
        )
        for warned, count in warnings.items():
            counter.add_metric(warned, count)
        yield counter


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


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
        info = GaugeMetricFamily(
            "extauthz_build_info", "Version of the service.", labels=["version", "python", "build"]
        )
        info.add_metric([extauthz.__version__, platform.python_version(), extauthz.build()], 1)
        yield info
        info = GaugeMetricFamily("extauthz_snapshot_info", "Revision that is being served.", labels=["revision"])
        info.add_metric([snapshot.revision], 1)
        yield info
        age_s = time.time() - snapshot.built_at_ms / 1000
        yield GaugeMetricFamily("extauthz_snapshot_age_seconds", "Since the snapshot was built.", value=age_s)
        sizes = GaugeMetricFamily("extauthz_snapshot_entries", "What the snapshot holds.", labels=["kind"])
        for kind, entries in (("apis", snapshot.apis), ("keys", snapshot.keys), ("grants", snapshot.grants)):
            sizes.add_metric([kind], len(entries))
        yield sizes
        in_flight = self._in_flight()
        yield GaugeMetricFamily("extauthz_checks_in_flight", "Checks taken on and not answered.", value=in_flight)


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
