"""Families of metrics that the client library lacks: gauges that say how they add up, samples made one by one."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

AT_A_TIME: Final = 64
"""Samples read before the other threads get their turn: about 0.2 ms of work."""
_TURN_S: Final = 0.0002
"""How long they get. A sleep of no length would not do: Python may hand the turn straight back."""


class OverWorkers(StrEnum):
    """What is shown of a gauge that several workers have."""

    SUM = "sum"
    LOWEST = "lowest"
    HIGHEST = "highest"


class Gauge(GaugeMetricFamily):
    """A gauge that says what becomes of it when several workers are shown as one service."""

    def __init__(
        self,
        name: str,
        documentation: str,
        over_workers: OverWorkers,
        value: float | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, documentation, value=value, labels=labels)
        self.over_workers = over_workers


class StreamedFamily(Metric):
    """A family of many samples, each made when it is read: thousands of them never exist at once."""

    def __init__(self, name: str, documentation: str, kind: str, samples: Callable[[], Iterator[Sample]]) -> None:
        """``samples`` makes them anew for each reading."""
        super().__init__(name, documentation, kind)
        self.over_workers: OverWorkers | None = None
        self.samples = _Reading(samples)  # type: ignore[assignment]  # nobody does more than iterate over it


class _Reading:
    def __init__(self, samples: Callable[[], Iterator[Sample]]) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[Sample]:
        return self._samples()


class NoMetrics(Collector):
    """Of what the configuration does not have."""

    def collect(self) -> Iterator[Metric]:
        """Nothing."""
        return iter(())


class Unhurried(Collector):
    """A registry read in small steps, between which the threads that answer checks get their turn.

    Python lets a busy thread go on for 5 ms before another one gets its turn, each time anew: a check that waits for
    several turns would notice every scrape.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        for family in self._registry.collect():
            unhurried = StreamedFamily(
                family.name, family.documentation, family.type, partial(_in_steps, family.samples)
            )
            unhurried.over_workers = getattr(family, "over_workers", None)
            yield unhurried


def _in_steps(samples: Iterable[Sample]) -> Iterator[Sample]:
    for number, sample in enumerate(samples, 1):
        yield sample
        if number % AT_A_TIME == 0:
            time.sleep(_TURN_S)
