"""How full the store of one-time values is, who fills it, and how Redis answers."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from extauthz.domain.decision import OneTimeKind
from extauthz.families import Gauge, OverWorkers
from extauthz.replay.memory import MemoryReplayStore
from extauthz.replay.redis_store import RedisReplayStore

_SHOWN_HOLDERS: Final = 5


class MemoryStoreMetrics(Collector):
    """How full the store is, and by whom."""

    def __init__(self, store: MemoryReplayStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        rooms = {OneTimeKind.NONCE: self._store.nonces, OneTimeKind.JTI: self._store.jtis}
        entries = Gauge("extauthz_replay_entries", "Nonces and jtis remembered.", OverWorkers.SUM, labels=["kind"])
        capacity = Gauge("extauthz_replay_capacity", "How many fit.", OverWorkers.SUM, labels=["kind"])
        holders = Gauge(
            "extauthz_replay_holder_entries",
            "Values of those who hold most.",
            OverWorkers.SUM,
            labels=["kind", "holder"],
        )
        for kind, room in rooms.items():
            entries.add_metric([kind], len(room))
            capacity.add_metric([kind], room.capacity)
            for holder, held in room.largest_holders(_SHOWN_HOLDERS):
                holders.add_metric([kind, holder], held)
        yield from (entries, capacity, holders)
        yield _refused({kind: room.refused for kind, room in rooms.items()})


def _refused(by_kind: Mapping[OneTimeKind, Mapping[str, int]]) -> Metric:
    refused = CounterMetricFamily(
        "extauthz_replay_share_refused",
        "Values refused because the app (for jtis the plug-in) holds its share of the store.",
        labels=["kind", "holder"],
    )
    for kind, refusals in by_kind.items():
        for holder, count in dict(refusals).items():
            refused.add_metric([kind, holder], count)
    return refused


class RedisStoreMetrics(Collector):
    """How Redis answers."""

    def __init__(self, store: RedisReplayStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        store = self._store
        outcomes = CounterMetricFamily("extauthz_replay_store_records", "Values recorded.", labels=["outcome"])
        for outcome, count in store.outcomes.items():
            outcomes.add_metric([outcome.value.replace(" ", "_")], count)
        yield outcomes
        yield SummaryMetricFamily(
            "extauthz_replay_store_round_trip_seconds",
            "Round trips to the shared store; one may carry many values.",
            count_value=store.round_trips,
            sum_value=store.seconds,
        )
        yield _refused(store.shares.refused)
        yield Gauge(
            "extauthz_replay_store_up", "1 while the last round trip was good.", OverWorkers.LOWEST, value=store.up
        )
