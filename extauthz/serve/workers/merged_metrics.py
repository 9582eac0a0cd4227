"""The metrics of all workers as one: counters are added up and never go backwards when a worker is replaced."""

import operator
from collections.abc import Callable, Container, Iterable, Iterator
from threading import Lock
from typing import Any, Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from extauthz.families import OverWorkers
from extauthz.observe.check_metrics import OTHER
from extauthz.serve.workers.numbers import Numbers

FOREIGN_GAUGES: Final = {
    "process_resident_memory_bytes": OverWorkers.SUM,
    "process_virtual_memory_bytes": OverWorkers.SUM,
    "process_open_fds": OverWorkers.SUM,
    "process_max_fds": OverWorkers.LOWEST,
    "process_start_time_seconds": OverWorkers.HIGHEST,
    "python_info": OverWorkers.HIGHEST,
}
"""The gauges of the client library, which cannot say it themselves. Ours do, where they are made."""
_GROWING: Final = ("counter", "histogram", "summary")
_COMBINE: Final[dict[str, Callable[[float, float], float]]] = {
    OverWorkers.SUM: operator.add,
    OverWorkers.LOWEST: min,
    OverWorkers.HIGHEST: max,
}

_Key = tuple[str, tuple[tuple[str, str], ...]]


class MergedMetrics(Collector):
    """Holds the last numbers of each worker, and the sum of those whose workers are gone."""

    def __init__(self, apis: Container[str] = (), refresh: Callable[[], None] = lambda: None) -> None:
        """``apis`` are the ids of those that exist. ``refresh`` is called before each scrape, and may ``update``."""
        self._apis = apis
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
            self._gone = self._without_lost_apis(_merge([self._gone, numbers]))

    def follow(self, apis: Container[str]) -> None:
        """Other APIs exist from now on: forget what workers that are gone have counted for those that are, too."""
        with self._lock:
            self._apis = apis
            self._gone = self._without_lost_apis(self._gone)

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

    def _without_lost_apis(self, families: Iterable[dict[str, Any]]) -> Numbers:
        def exists(labels: dict[str, str]) -> bool:
            api = labels.get("api", "")
            return api in ("", OTHER) or api in self._apis

        return [
            {**family, "samples": [sample for sample in family["samples"] if exists(sample[1])]} for family in families
        ]


def combination(family: dict[str, Any]) -> Callable[[float, float], float] | None:
    """How two values of a family make one; None for a gauge of which nobody has said it."""
    if family["type"] in _GROWING:
        return operator.add
    said = family.get("over_workers") or FOREIGN_GAUGES.get(family["name"])
    return None if said is None else _COMBINE[said]


def _merge(parts: Iterable[Numbers]) -> Iterator[dict[str, Any]]:
    """Families of the same name made one."""
    families: dict[str, dict[str, Any]] = {}
    values: dict[str, dict[_Key, float]] = {}
    for family in (family for numbers in parts for family in numbers):
        name = family["name"]
        families.setdefault(name, family)
        merged = values.setdefault(name, {})
        combine = combination(family) or max
        for sample, labels, value in family["samples"]:
            key = (sample, tuple(labels.items()))
            before = merged.get(key)
            merged[key] = value if before is None else combine(before, value)
    for name, family in families.items():
        samples = [[sample, dict(labels), value] for (sample, labels), value in values[name].items()]
        yield {**family, "samples": samples}
