"""The metrics of all workers as one: counters are added up and never go backwards when a worker is replaced."""

import operator
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Any, Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

SUMMED_GAUGES: Final = frozenset(
    {
        "extauthz_checks_in_flight",
        "extauthz_decision_log_capacity",
        "extauthz_decision_log_waiting",
        "extauthz_replay_entries",
        "extauthz_replay_capacity",
        "extauthz_replay_holder_entries",
        "extauthz_snapshot_info",  # how many workers serve a revision
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
    }
)
LOWEST_GAUGES: Final = frozenset(
    {"extauthz_replay_store_up", "extauthz_tls_certificate_end_timestamp_seconds", "extauthz_jwks_keys"}
)
"""Of these the worst is shown; of other gauges the largest value: ages, sizes of the one snapshot, limits."""
_GROWING: Final = ("counter", "histogram", "summary")

Numbers = list[dict[str, Any]]
_Key = tuple[str, tuple[tuple[str, str], ...]]


class MergedMetrics(Collector):
    """Holds the last numbers of each worker, and the sum of those whose workers are gone."""

    def __init__(self, refresh: Callable[[], None] = lambda: None) -> None:
        """``refresh`` is called before each scrape, and may call ``update``."""
        self._refresh = refresh
        self._lock = Lock()
        self._live: dict[int, Numbers] = {}
        self._gone: Numbers = []

    def add(self, worker: int) -> None:
        """Begin to count a worker; ``worker`` is never used again for another one."""
        with self._lock:
            self._live[worker] = []

    def update(self, worker: int, numbers: Numbers) -> None:
        """The latest numbers of a worker. A worker that was retired is not heard any more."""
        with self._lock:
            if worker in self._live:
                self._live[worker] = numbers

    def retire(self, worker: int) -> None:
        """A worker is gone: what it counted stays counted, what it held is gone."""
        with self._lock:
            numbers = [family for family in self._live.pop(worker, []) if family["type"] in _GROWING]
            self._gone = list(_merge([self._gone, numbers]))

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        self._refresh()
        with self._lock:
            families = list(_merge([self._gone, *self._live.values()]))
        for family in families:
            metric = Metric(family["name"], family["help"], family["type"])
            for name, labels, value in family["samples"]:
                metric.add_sample(name, labels, value)
            yield metric


def _combination(family: dict[str, Any]) -> Callable[[float, float], float]:
    if family["type"] in _GROWING or family["name"] in SUMMED_GAUGES:
        return operator.add
    return min if family["name"] in LOWEST_GAUGES else max


def _merge(parts: Iterable[Numbers]) -> Iterator[dict[str, Any]]:
    """Families of the same name made one."""
    families: dict[str, dict[str, Any]] = {}
    values: dict[str, dict[_Key, float]] = {}
    for family in (family for numbers in parts for family in numbers):
        name = family["name"]
        families.setdefault(name, family)
        merged = values.setdefault(name, {})
        combine = _combination(family)
        for sample, labels, value in family["samples"]:
            key = (sample, tuple(labels.items()))
            before = merged.get(key)
            merged[key] = value if before is None else combine(before, value)
    for name, family in families.items():
        samples = [[sample, dict(labels), value] for (sample, labels), value in values[name].items()]
        yield {**family, "samples": samples}
